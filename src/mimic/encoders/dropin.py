"""The same file with other weights: container, names, shapes, dtypes and everything else stay."""

import io
from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor, nn

from mimic.encoders.checkpoint import Checkpoint
from mimic.encoders.matching import Match
from mimic.errors import RunError


def drop_in_bytes(
    checkpoint: Checkpoint,
    match: Match,
    backbone: nn.Module,
    *,
    header: Mapping[str, str] | None = None,
) -> bytes:
    """The content of `checkpoint`'s file with the weights of `backbone` in the place of `match`.

    Torch files come out in torch's zip format, also where the old one went in. The checkpoint
    object is left as it was.

    Args:
        checkpoint: what came in.
        match: where the backbone sits in it.
        backbone: the new weights, with the keys of `match`.
        header: added to the header of a safetensors file.

    Raises:
        RunError: a weight is not finite in the dtype of the file.
    """
    state = backbone.state_dict()
    before = checkpoint.state_dicts[match.container]
    after = {
        key: stored_tensor(key, state[name], before[key].dtype) for name, key in match.names.items()
    }
    if checkpoint.kind == "safetensors":
        metadata = {**checkpoint.metadata, **(header or {})}
        return safetensors.torch.save({**before, **after}, metadata=metadata or None)
    return _torch_bytes(checkpoint, match, after)


def stored_tensor(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A contiguous copy on the CPU in `dtype`.

    Raises:
        RunError: a value is not finite there.
    """
    stored = tensor.detach().to(device="cpu", dtype=dtype, copy=True)
    if not stored.isfinite().all():
        raise RunError(
            f"tensor '{name}' is not finite in {str(dtype).removeprefix('torch.')}, so the file "
            "was not written; store it in more bits, or purify with a smaller learning rate"
        )
    return stored.contiguous()


def _torch_bytes(checkpoint: Checkpoint, match: Match, after: Mapping[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    holder = checkpoint.content
    for key in match.container:
        holder = holder[key]
    before = {key: holder[key] for key in after}
    try:
        for key, tensor in after.items():
            holder[key] = _like(before[key], tensor)
        torch.save(checkpoint.content, buffer)
    finally:
        holder.update(before)
    return buffer.getvalue()


def _like(old: Tensor, new: Tensor) -> Tensor:
    """`new` with the memory layout of `old`, and a parameter if that was one."""
    laid_out = torch.empty_like(old, requires_grad=False).copy_(new)
    if isinstance(old, nn.Parameter):
        return nn.Parameter(laid_out, requires_grad=old.requires_grad)
    return laid_out.requires_grad_(old.requires_grad)
