"""One shape for what stages put out: feature maps stay, tokens become maps of width one."""

from dataclasses import dataclass

from torch import Tensor

from mimic.errors import InputError

_EXTRA_TOKENS = 16
"""So many tokens at most stand for no place of the image: class, distillation, registers."""


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


@dataclass(frozen=True)
class TokenGrid:
    """The places of an image that tokens stand for.

    Attributes:
        extra: so many tokens stand for no place; they come first.
        rows: of places.
        columns: likewise; the tokens of a row follow one another.
    """

    extra: int
    rows: int
    columns: int


def token_grid(tokens: int, size: tuple[int, int]) -> TokenGrid | None:
    """The grid of the image's proportions that tokens fit with as few left over as possible.

    Args:
        tokens: their number.
        size: height and width of the image, in pixels.

    Returns:
        None for a single token, and for tokens that fit no such grid.
    """
    for extra in range(min(_EXTRA_TOKENS, tokens - 1) + 1 if tokens > 1 else 0):
        rows = round(((tokens - extra) * size[0] / size[1]) ** 0.5)
        columns = round(rows * size[1] / size[0])
        if rows * columns == tokens - extra:
            return TokenGrid(extra, rows, columns)
    return None
