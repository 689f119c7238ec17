"""ColourFilter: a fixed map of the colours, like the filters of a photo app."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.attacks.triggers.trigger import Trigger
from mimic.errors import InputError
from mimic.images.pixels import through_floats

_UNCHANGED = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class ColourMap:
    """`(matrix @ colour + offset) ** gamma` of a colour in [0, 1].

    Attributes:
        matrix: a row for red, green and blue of the result, a column for those of the image.
        offset: added to red, green and blue.
        gamma: exponents of red, green and blue.
    """

    matrix: tuple[tuple[float, float, float], ...] = _UNCHANGED
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gamma: tuple[float, float, float] = (1.0, 1.0, 1.0)


FILTERS: dict[str, ColourMap] = {
    "warm": ColourMap(gamma=(0.75, 1.0, 1.35)),
    "cold": ColourMap(gamma=(1.35, 1.0, 0.75)),
    "sepia": ColourMap(
        matrix=((0.3, 0.59, 0.11), (0.264, 0.5192, 0.0968), (0.204, 0.4012, 0.0748))
    ),
    "faded": ColourMap(
        matrix=((0.65, 0.1, 0.1), (0.1, 0.65, 0.1), (0.1, 0.1, 0.65)), offset=(0.12, 0.12, 0.12)
    ),
}
"""Filters by the name that `filter:NAME` takes. Each maps the colours of [0, 1] into [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class ColourFilter(Trigger):
    """One of `FILTERS` on every pixel of the image.

    Attributes:
        name: a key of `FILTERS`.

    Raises:
        InputError: there is no such filter.

    Source: our own constants, in the manner of the photo filters that Liu et al. use as triggers,
        "ABS: Scanning Neural Networks for Back-doors by Artificial Brain Stimulation", CCS 2019.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in FILTERS:
            raise InputError(f"there is no filter '{self.name}'; write one of {', '.join(FILTERS)}")

    @property
    def spelling(self) -> str:
        """`filter:NAME`."""
        return f"filter:{self.name}"

    def describe(self) -> str:
        """The name of the filter."""
        return f"the colour filter '{self.name}' on the whole image"

    def stamp(self, images: Tensor) -> Tensor:
        """Map the colours."""
        chosen = FILTERS[self.name]

        def recolour(floats: Tensor) -> Tensor:
            matrix, offset, gamma = (
                torch.tensor(values, dtype=floats.dtype, device=floats.device)[..., None, None]
                for values in (chosen.matrix, chosen.offset, chosen.gamma)
            )
            # A product of matrices would round differently in batches of another size.
            return ((matrix * floats[:, None]).sum(dim=2) + offset) ** gamma

        return through_floats(images, recolour)
