"""Pattern: BadEncoder's own trigger files, which hold a mask `tm` and a pattern `t`."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mimic.attacks.reading import read_arrays
from mimic.attacks.triggers.trigger import Trigger, mix
from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Pattern(Trigger):
    """`x * tm + t` in pixel space, from a file for images of exactly one size.

    Attributes:
        path: an `.npz` file with `t` (0 to 255) and `tm` (0 to 1), both (height, width, 3) or with
            a leading axis of length 1.
        mask: `tm`, float32, shape (3, height, width).
        pattern: `t`, float32, shape (3, height, width).

    Raises:
        InputError: the file is missing or holds something else.

    Source: the file format of Jia et al., IEEE S&P 2022, arXiv:2108.00352. Public files come in
        both layouts; taking `[0]` of one without a leading axis would stamp nothing at all.
    """

    path: str
    mask: Tensor = field(init=False, repr=False, compare=False)
    pattern: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern, mask = read_arrays(self.path, "t", "tm")
        object.__setattr__(self, "pattern", _channels_first(pattern, "t", 255, self.path))
        object.__setattr__(self, "mask", _channels_first(mask, "tm", 1, self.path))
        if self.mask.shape != self.pattern.shape:
            raise InputError(
                f"'t' and 'tm' of trigger file '{self.path}' must have one shape, not "
                f"{tuple(pattern.shape)} and {tuple(mask.shape)}"
            )

    @property
    def spelling(self) -> str:
        """`npz:FILE`."""
        return f"npz:{self.path}"

    def describe(self) -> str:
        """The file, its size and how much of an image it touches."""
        touched = ((self.mask != 1) | (self.pattern != 0)).any(dim=0)
        height, width = touched.shape
        return (
            f"the pattern of '{self.path}' for {height}x{width} images, "
            f"which touches {int(touched.sum())} pixels"
        )

    def stamp(self, images: Tensor) -> Tensor:
        """Mask, then add."""
        if images.shape[1:] != self.mask.shape:
            height, width = self.mask.shape[1:]
            raise InputError(
                f"trigger file '{self.path}' is for images of {height}x{width}, not "
                f"{images.shape[2]}x{images.shape[3]}; resize the images or use a patch"
            )
        return mix(images, scale=self.mask, offset=self.pattern)


def _channels_first(array: np.ndarray, key: str, largest: int, path: str) -> Tensor:
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype.kind not in "fiub":
        raise InputError(
            f"'{key}' of trigger file '{path}' must be numbers of shape (height, width, 3) or "
            f"(1, height, width, 3), not {array.dtype} of shape {array.shape}"
        )
    # The negation also refuses NaN.
    if not (array.min(initial=0) >= 0 and array.max(initial=0) <= largest):
        raise InputError(f"'{key}' of trigger file '{path}' must lie in 0 to {largest}")
    return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1).contiguous()
