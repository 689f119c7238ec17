"""From pictures as found (any size, some broken) to an ImageSet of one size, held or streamed."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mimic.errors import InputError, RunError
from mimic.images.decode import BrokenImageError, Size, fit
from mimic.images.imageset import ImageSet

MAX_BROKEN_SHARE = 0.1
"""More broken pictures than this share, and the source is refused rather than cleaned."""
MEMORY_LIMIT = 4 << 30
"""Bytes of pixels that are held in memory; above it images are decoded when asked for."""

_NAMED_IN_MESSAGES = 5
_CHUNK = 128


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What a source holds, before anybody has looked inside.

    Attributes:
        count: number of pictures.
        picture: takes 0 to count - 1, gives an RGB picture of any size or raises
            BrokenImageError; called from several threads.
        title: the name of a picture in messages.
        name: the name of the source in messages.
        labels: class of each picture, shape (count,), or None.
        class_names: names of the classes where the source knows them.
        default_size: height and width to use where nobody asks for a size.
        resampling: the filter with which pictures of another size are resized.
    """

    count: int
    picture: Callable[[int], Image.Image]
    title: Callable[[int], str]
    name: str
    labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    default_size: Size | None = None
    resampling: Image.Resampling = Image.Resampling.BICUBIC


@dataclass(frozen=True, kw_only=True)
class _Decoded:
    pixels: NDArray[np.uint8] | None
    found: dict[int, Size]
    broken: dict[int, str]


def assemble(
    pictures: Pictures,
    *,
    size: Size | None = None,
    max_broken_share: float = MAX_BROKEN_SHARE,
    memory_limit: int = MEMORY_LIMIT,
) -> ImageSet:
    """Decode every picture once, leave the broken ones out, and bring the rest to one size.

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
    decoded = _decode_all(pictures, wanted, memory_limit)
    _check_broken(pictures, decoded.broken, max_broken_share)
    if size is None and (common := _most_common(decoded.found.values())) != wanted:
        wanted = common
        decoded = _decode_all(pictures, wanted, memory_limit)
    return _image_set(pictures, wanted, decoded)


def _image_set(pictures: Pictures, size: Size, decoded: _Decoded) -> ImageSet:
    good = torch.tensor(sorted(decoded.found), dtype=torch.int64)
    if decoded.pixels is None:
        everything = ImageSet(
            read=_streaming_reader(pictures, size),
            indices=torch.arange(pictures.count),
            size=size,
            streamed=True,
        )
    else:
        everything = ImageSet.from_tensor(torch.from_numpy(decoded.pixels))
    return replace(
        everything,
        indices=good,
        labels=None if pictures.labels is None else pictures.labels[good].long(),
        class_names=pictures.class_names,
        name=pictures.name,
        skipped=tuple(f"{pictures.title(i)}: {why}" for i, why in sorted(decoded.broken.items())),
    )


def _first_size(pictures: Pictures) -> Size:
    broken: dict[int, str] = {}
    for index in range(pictures.count):
        try:
            return _size(pictures.picture(index))
        except BrokenImageError as error:
            broken[index] = str(error)
    raise _no_readable_image(pictures, broken)


def _decode_all(pictures: Pictures, size: Size, memory_limit: int) -> _Decoded:
    shape = (pictures.count, 3, *size)
    pixels = np.empty(shape, dtype=np.uint8) if np.prod(shape) <= memory_limit else None
    found: dict[int, Size] = {}
    broken: dict[int, str] = {}

    def work(start: int) -> None:
        for index in range(start, min(start + _CHUNK, pictures.count)):
            try:
                picture = pictures.picture(index)
            except BrokenImageError as error:
                broken[index] = str(error)
                continue
            found[index] = _size(picture)
            if pixels is not None:
                pixels[index] = fit(picture, size, resampling=pictures.resampling)

    with ThreadPoolExecutor(_threads()) as pool:
        for _ in pool.map(work, range(0, pictures.count, _CHUNK)):
            pass
    return _Decoded(pixels=pixels, found=found, broken=broken)


def _streaming_reader(pictures: Pictures, size: Size) -> Callable[[Sequence[int]], Tensor]:
    def read_one(index: int) -> NDArray[np.uint8]:
        try:
            return fit(pictures.picture(index), size, resampling=pictures.resampling)
        except BrokenImageError as error:
            raise RunError(
                f"'{pictures.title(index)}' in '{pictures.name}' could be read before and cannot "
                f"now ({error}); keep the images unchanged while they are in use"
            ) from error

    def read(chosen: Sequence[int]) -> Tensor:
        if not len(chosen):
            return torch.empty((0, 3, *size), dtype=torch.uint8)
        with ThreadPoolExecutor(_threads()) as pool:
            return torch.from_numpy(np.stack(list(pool.map(read_one, chosen))))

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
    lines = [f"  {pictures.title(i)}: {why}" for i, why in sorted(broken.items())]
    more = len(lines) - _NAMED_IN_MESSAGES
    return "\n".join(lines[:_NAMED_IN_MESSAGES] + ([f"  and {more} more"] if more > 0 else []))


def _most_common(sizes: Iterable[Size]) -> Size:
    counts = Counter(sizes)
    return min(counts, key=lambda size: (-counts[size], size))


def _size(picture: Image.Image) -> Size:
    return picture.height, picture.width


def _threads() -> int:
    return min(16, os.cpu_count() or 1)
