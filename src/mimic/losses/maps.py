"""One shape for what stages put out: feature maps stay, tokens become maps of width one."""

from torch import Tensor

from mimic.errors import InputError


def as_map(output: Tensor) -> Tensor:
    """A stage's output as (batch, channels, height, width).

    Args:
        output: a map of that shape, or tokens (batch, tokens, dimension), which become
            (batch, dimension, tokens, 1).

    Raises:
        InputError: any other number of dimensions.
    """
    if output.ndim == 4:
        return output
    if output.ndim == 3:
        return output.transpose(1, 2).unsqueeze(-1)
    raise InputError(
        f"a stage puts out a map (B, C, H, W) or tokens (B, T, D), not {tuple(output.shape)}"
    )
