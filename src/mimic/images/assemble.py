"""From pictures as found (any size, some broken) to an ImageSet of one size, held or streamed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mimic.errors import InputError, RunError
from mimic.images.decode import BrokenImageError, Size, fit
from mimic.images.imageset import ImageSet
from mimic.images.index import Index, build_index, known_index
from mimic.images.pictures import Pictures, decoders
from mimic.text import printable

MAX_BROKEN_SHARE = 0.1
"""More broken pictures than this share, and the source is refused rather than cleaned."""
MEMORY_LIMIT = 4 << 30
"""Bytes of pixels that are held in memory; above it images are decoded when asked for."""

_NAMED_IN_MESSAGES = 5
_CHUNK = 8

_Pixels = NDArray[np.uint8]


def assemble(
    pictures: Pictures,
    *,
    size: Size | None = None,
    max_broken_share: float = MAX_BROKEN_SHARE,
    memory_limit: int = MEMORY_LIMIT,
) -> ImageSet:
    """Find the broken pictures, leave them out, and bring the rest to one size.

    Every picture is decoded once for that; of a set that is streamed, what was found is kept on
    disk, see `known_index`.

    Args:
        pictures: what the source holds.
        size: height and width in pixels; None is the source's default, else the size that is
            the most common among its readable pictures.
        max_broken_share: the largest share of broken pictures that is skipped, in [0, 1].
        memory_limit: bytes of pixels to hold; a larger set is streamed.

    Raises:
        InputError: there is no readable picture, or too many are broken.
    """
    size = size or pictures.default_size
    wanted = size or _first_size(pictures)
    held = _fits(pictures.count, wanted, memory_limit)
    index, pixels = _decode_to(pictures, wanted) if held else (known_index(pictures), None)
    _check_broken(pictures, index.broken, max_broken_share)
    if size is None and (common := index.most_common_size()) != wanted:
        wanted, pixels = common, None
        if _fits(pictures.count, wanted, memory_limit):
            index, pixels = _decode_to(pictures, wanted)
    return _image_set(pictures, wanted, index, pixels)


def _fits(count: int, size: Size, memory_limit: int) -> bool:
    return count * 3 * math.prod(size) <= memory_limit


def _decode_to(pictures: Pictures, size: Size) -> tuple[Index, _Pixels]:
    pixels = np.empty((pictures.count, 3, *size), dtype=np.uint8)

    def keep(index: int, picture: Image.Image) -> None:
        pixels[index] = fit(picture, size, resampling=pictures.resampling)

    return build_index(pictures, keep), pixels


def _image_set(pictures: Pictures, size: Size, index: Index, pixels: _Pixels | None) -> ImageSet:
    good = torch.from_numpy(index.readable)
    if pixels is None:
        everything = ImageSet(
            read=_streaming_reader(pictures, size), indices=good, size=size, streamed=True
        )
    else:
        everything = ImageSet.from_tensor(torch.from_numpy(pixels))
    return replace(
        everything,
        indices=good,
        labels=None if pictures.labels is None else pictures.labels[good].long(),
        class_names=pictures.class_names,
        name=pictures.name,
        skipped=tuple(name_broken(pictures, index.broken)),
    )


def _first_size(pictures: Pictures) -> Size:
    broken: dict[int, str] = {}
    for index in range(pictures.count):
        try:
            picture = pictures.picture(index)
        except BrokenImageError as error:
            broken[index] = str(error)
        else:
            return picture.height, picture.width
    raise _no_readable_image(pictures, broken)


def _streaming_reader(pictures: Pictures, size: Size) -> Callable[[Sequence[int]], Tensor]:
    def read_one(index: int) -> _Pixels:
        try:
            return fit(pictures.picture(index), size, resampling=pictures.resampling)
        except BrokenImageError as error:
            raise RunError(
                f"'{printable(pictures.title(index))}' in '{pictures.name}' could be read before "
                f"and cannot now ({error}); keep the images unchanged while they are in use"
            ) from error

    def read(chosen: Sequence[int]) -> Tensor:
        pixels = np.empty((len(chosen), 3, *size), dtype=np.uint8)

        def work(start: int) -> None:
            for position in range(start, min(start + _CHUNK, len(chosen))):
                pixels[position] = read_one(chosen[position])

        for _ in decoders().map(work, range(0, len(chosen), _CHUNK)):
            pass
        return torch.from_numpy(pixels)

    return read


def _check_broken(pictures: Pictures, broken: dict[int, str], max_share: float) -> None:
    if len(broken) == pictures.count:
        raise _no_readable_image(pictures, broken)
    if len(broken) > max_share * pictures.count:
        raise InputError(
            f"{len(broken)} of {pictures.count} images in '{pictures.name}' are broken, more than "
            f"the {max_share:.0%} that is skipped; repair or remove them:\n"
            + _examples(pictures, broken)
        )


def _no_readable_image(pictures: Pictures, broken: dict[int, str]) -> InputError:
    if not pictures.count:
        return InputError(f"'{pictures.name}' holds no images")
    return InputError(
        f"none of the {pictures.count} images in '{pictures.name}' can be read:\n"
        + _examples(pictures, broken)
    )


def _examples(pictures: Pictures, broken: dict[int, str]) -> str:
    lines = [f"  {line}" for line in name_broken(pictures, broken)]
    more = len(lines) - _NAMED_IN_MESSAGES
    return "\n".join(lines[:_NAMED_IN_MESSAGES] + ([f"  and {more} more"] if more > 0 else []))


def name_broken(pictures: Pictures, broken: dict[int, str]) -> list[str]:
    """A line for each broken picture: its title, and why."""
    return [f"{printable(pictures.title(index))}: {why}" for index, why in broken.items()]
