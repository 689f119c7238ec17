"""Weights of a file for a backbone: those that it cannot have been trained with are refused."""

import torch
from torch import Tensor, nn

from mimic.encoders.checkpoint import Checkpoint
from mimic.encoders.matching import Match
from mimic.errors import InputError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def matched_tensors(checkpoint: Checkpoint, match: Match, backbone: nn.Module) -> dict[str, Tensor]:
    """A complete state dict for `backbone`, in the backbone's dtypes.

    Raises:
        InputError: a tensor is not a plain dense one, holds NaN or infinity, or has other numbers
            than floats of 16 bits or more in the place of floats; a variance is negative.
    """
    found = checkpoint.state_dicts[match.container]
    state = backbone.state_dict()  # with the version numbers that some modules ask for
    for name, own in list(state.items()):
        if name not in match.names:
            state[name] = torch.zeros_like(own)
            continue
        tensor = found[match.names[name]].detach()
        called = f"tensor '{match.names[name]}' of '{checkpoint.path}'"
        _check_kind(tensor, own, called)
        state[name] = tensor.to(own.dtype)
        if not state[name].isfinite().all():
            raise InputError(f"{called} holds NaN or infinite numbers: this encoder is broken")
        if name.rpartition(".")[2] == "running_var" and (state[name] < 0).any():
            raise InputError(f"{called} holds negative variances: this encoder is broken")
    return state


def _check_kind(tensor: Tensor, own: Tensor, called: str) -> None:
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        raise InputError(
            f"{called} is sparse, quantised or without data; only plain tensors can be loaded"
        )
    # The drop-in has the dtypes of the file, and fewer bits would destroy what was trained.
    if tensor.is_complex() or (own.is_floating_point() and tensor.dtype not in _FLOATS):
        raise InputError(
            f"{called} holds {str(tensor.dtype).removeprefix('torch.')} numbers, not floats of 16 "
            "bits or more; weights that were quantised have to be dequantised first"
        )
