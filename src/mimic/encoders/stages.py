"""Stages: finding them by probing a network, and tapping them with hooks that never stay."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mimic.errors import InputError

_TOKEN_STAGES = 4


@dataclass(frozen=True)
class _Output:
    """What one module put out: a map (B, C, H, W), tokens (B, T, D), or something else."""

    name: str
    kind: type[nn.Module]
    shape: tuple[int, ...]
    identity: int

    @property
    def depth(self) -> int:
        return self.name.count(".")

    @property
    def size(self) -> tuple[int, ...]:
        return self.shape[2:]

    @property
    def is_map(self) -> bool:
        return len(self.shape) == 4 and self.size[0] * self.size[1] > 1


def check_stages(module: nn.Module, names: Sequence[str]) -> None:
    """Check that every name is a submodule of `module`.

    Raises:
        InputError: one is not.
    """
    known = {name for name, _ in module.named_modules() if name}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"stage '{unknown[0]}' is not in this encoder; its top-level modules are "
            f"{', '.join(name for name, _ in module.named_children()) or '(none)'}"
        )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode during the `with` block; afterwards every submodule's own mode is back."""
    modes = {submodule: submodule.training for submodule in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for submodule, mode in modes.items():
            submodule.training = mode


@contextmanager
def tap(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of named submodules during the `with` block.

    Args:
        module: the network whose submodules are tapped.
        names: dotted names of submodules, as in `module.named_modules()`.

    Yields:
        A dictionary from name to the output of the submodule's last forward pass (of a tuple, its
        first tensor). The hooks are removed when the block ends, also after an error.

    Raises:
        InputError: a name is not a submodule.
    """
    check_stages(module, names)
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = _first_tensor(output)
            if tensor is not None:
                maps[name] = tensor

        return hook

    handles = [module.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def discover_stages(module: nn.Module, example: Tensor) -> tuple[str, ...]:
    """Find the stages of a network by running it once and looking at what its modules put out.

    A stage is the last feature map before the resolution changes: modules that put out maps
    (batch, channels, height, width) are grouped by height and width in the order of execution, and
    the last one of each group is kept; the inside of a block that halves the resolution (where a
    shortcut runs beside it) does not count. Where the resolution never changes (token models,
    isotropic CNNs), four equally spaced depths are kept among the repeated blocks that hold most of
    the network.

    Args:
        module: any network; its mode and buffers are as before afterwards.
        example: a valid input, shape (batch, 3, height, width); one image is enough.

    Returns:
        Names for `tap`, in the order of execution.

    Raises:
        InputError: no module puts out a map or a sequence of tokens.
    """
    outputs = _record_outputs(module, example)
    maps = [out for out in outputs if out.is_map]
    either = [out for out in outputs if out.is_map or len(out.shape) == 3]
    if len({out.size for out in maps}) > 1 and 2 * len(maps) >= len(either):
        return _last_of_each_size(module, maps)
    if not either:
        raise InputError(
            "no stage was found: no module of this encoder puts out a feature map (B, C, H, W) "
            "or tokens (B, T, D); name the stages explicitly"
        )
    blocks = _repeated_blocks(either)
    count = min(_TOKEN_STAGES, len(blocks))
    return tuple(blocks[len(blocks) * (i + 1) // count - 1] for i in range(count))


def channels_first(output: Tensor, image_size: Sequence[int]) -> Tensor:
    """A stage's output, with the channels of a map before its height and width.

    Windowed transformers put out maps (batch, height, width, channels). They are told by their
    proportions, which are those of the image.

    Args:
        output: of a stage.
        image_size: height and width of the images that went in.

    Returns:
        The same tensor, or a view of it.
    """
    if output.ndim != 4:
        return output
    first, second, third = output.shape[1:]
    last = _is_proportional((first, second), image_size)
    if last and not _is_proportional((second, third), image_size):
        return output.permute(0, 3, 1, 2)
    return output


def _is_proportional(size: Sequence[int], image_size: Sequence[int]) -> bool:
    """Whether a map may be an image scaled down, but for rounding in one of its sides."""
    (height, width), (image_height, image_width) = size, image_size
    return abs(height * image_width - width * image_height) <= max(image_height, image_width)


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, tuple | list):
        output = next((part for part in output if isinstance(part, Tensor)), None)
    return output if isinstance(output, Tensor) else None


@torch.no_grad()
def _record_outputs(module: nn.Module, example: Tensor) -> list[_Output]:
    """Outputs in the order of execution; of a module that runs several times, the last."""
    recorded: dict[str, _Output] = {}
    alive: list[Tensor] = []  # an id is only unique among living tensors

    def keep(name: str) -> Any:
        def hook(called: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = _first_tensor(output)
            recorded.pop(name, None)
            if tensor is not None and tensor.shape[:1] == example.shape[:1]:
                alive.append(tensor)
                shape = tuple(channels_first(tensor, example.shape[2:]).shape)
                recorded[name] = _Output(name, type(called), shape, id(tensor))

        return hook

    handles = [m.register_forward_hook(keep(name)) for name, m in module.named_modules() if name]
    try:
        with evaluating(module):
            module(example)
    finally:
        for handle in handles:
            handle.remove()
    return list(recorded.values())


def _last_of_each_size(module: nn.Module, maps: list[_Output]) -> tuple[str, ...]:
    """The last module of each resolution; of several with the same output, the outermost."""
    named: dict[int, _Output] = {}
    for out in maps:
        if out.identity not in named or out.depth <= named[out.identity].depth:
            named[out.identity] = out
    outermost = [out for out in maps if named[out.identity] is out]
    inside = {out.name for out in outermost if _is_inside_downsampling(module, out, maps)}
    last: dict[tuple[int, ...], _Output] = {}
    for out in outermost:
        previous = last.get(out.size)
        if out.name not in inside or previous is None or previous.name in inside:
            last[out.size] = out
    chosen = set(last.values())
    return tuple(out.name for out in outermost if out in chosen)


def _is_inside_downsampling(module: nn.Module, out: _Output, maps: list[_Output]) -> bool:
    """Whether `out` lies within a block that goes from its resolution straight to the next one.

    A chain (`nn.Sequential`) has no shortcut, so what happens inside it is not such a block.
    """
    by_name = {other.name: other for other in maps}
    parents = (out.name[: dot.start()] for dot in re.finditer(r"\.", out.name))
    for parent in parents:
        if parent not in by_name or isinstance(module.get_submodule(parent), nn.Sequential):
            continue
        within = {other.size for other in maps if other.name.startswith(f"{parent}.")}
        if within == {out.size, by_name[parent].size} and out.size != by_name[parent].size:
            return True
    return False


def _repeated_blocks(outputs: list[_Output]) -> list[str]:
    """The modules of one class, named alike but for a number, that hold most of the network."""
    groups: dict[tuple[str, type[nn.Module]], list[str]] = {}
    for out in outputs:
        pattern = re.sub(r"\d+", "#", out.name)
        if re.search(r"\d$", out.name):
            groups.setdefault((pattern, out.kind), []).append(out.name)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return list({out.identity: out.name for out in outputs}.values())
    names = [out.name for out in outputs]
    leaves = [name for name in names if not any(n.startswith(f"{name}.") for n in names)]

    def rank(group: list[str]) -> tuple[int, int, int]:
        held = sum(any(f"{leaf}.".startswith(f"{name}.") for name in group) for leaf in leaves)
        return held, len(group), -group[0].count(".")

    return max(repeated, key=rank)
