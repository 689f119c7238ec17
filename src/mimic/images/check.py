"""Is this set fit to purify with? Broken, constant and repeated pictures, by name."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mimic.images.assemble import name_broken
from mimic.images.decode import Size
from mimic.images.index import build_index
from mimic.images.perceptual import THUMBNAIL, similar_pairs, thumbnail
from mimic.images.pictures import Pictures
from mimic.text import printable

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ImageCheck:
    """What was found in a set of images.

    Attributes:
        name: of the source.
        count: images, broken ones included.
        sizes: how many readable images there are of each (height, width), most frequent first.
        broken: images that cannot be used, as "title: reason".
        constant: images of a single colour.
        duplicates: groups of images with the same pixels.
        near_duplicates: groups of images that look alike and are not all the same.
    """

    name: str
    count: int
    sizes: dict[Size, int]
    broken: tuple[str, ...]
    constant: tuple[str, ...]
    duplicates: Groups
    near_duplicates: Groups

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not (self.broken or self.constant or self.duplicates or self.near_duplicates)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "images": self.name,
            "count": self.count,
            "readable": self.count - len(self.broken),
            "sizes": [
                {"height": height, "width": width, "count": count}
                for (height, width), count in self.sizes.items()
            ],
            "broken": list(self.broken),
            "constant": list(self.constant),
            "duplicates": [list(group) for group in self.duplicates],
            "near_duplicates": [list(group) for group in self.near_duplicates],
        }


def check_pictures(pictures: Pictures) -> tuple[ImageCheck, NDArray[np.int64]]:
    """Decode every picture once and look at it as it is, before any scaling.

    About 100 bytes per picture are held. Constant pictures are no duplicates of each other.

    Returns:
        What was found, and the indices of the readable pictures, ascending.
    """
    thumbnails = np.zeros((pictures.count, *THUMBNAIL), dtype=np.uint8)
    digests = np.zeros(pictures.count, dtype="S16")
    constant = np.zeros(pictures.count, dtype=bool)

    def look(index: int, picture: Image.Image) -> None:
        thumbnails[index] = thumbnail(picture)
        digests[index] = _digest(picture)
        constant[index] = all(low == high for low, high in _extremes(picture))

    found = build_index(pictures, look)
    telling = found.readable[~constant[found.readable]]
    copies = _same(digests[telling])
    near = _connected(len(telling), _similar(thumbnails[telling]))
    return ImageCheck(
        name=pictures.name,
        count=pictures.count,
        sizes=dict(found.counts().most_common()),
        broken=tuple(name_broken(pictures, found.broken)),
        constant=_titles(pictures, np.flatnonzero(constant)),
        duplicates=tuple(
            _titles(pictures, telling[group]) for group in _connected(len(telling), copies)
        ),
        near_duplicates=tuple(
            _titles(pictures, telling[group])
            for group in near
            if len(np.unique(digests[telling[group]])) > 1
        ),
    ), found.readable


def _digest(picture: Image.Image) -> bytes:
    digest = hashlib.blake2b(repr(picture.size).encode(), digest_size=16)
    digest.update(picture.tobytes())
    return digest.digest()


def _extremes(picture: Image.Image) -> Sequence[tuple[int, int]]:
    """The lowest and highest level of each channel."""
    return picture.getextrema()  # type: ignore[return-value]  # a pair per channel, as it is RGB


def _same(keys: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Each position of a repeated key, paired with the position that has it next."""
    order = np.argsort(keys, kind="stable")
    repeated = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    return np.stack([order[repeated], order[repeated + 1]], axis=1)


def _similar(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs that connect all that look alike; of equal thumbnails only one is compared further."""
    length = math.prod(THUMBNAIL)
    same = _same(thumbnails.reshape(-1, length).view(f"S{length}")[:, 0])
    distinct = np.setdiff1d(np.arange(len(thumbnails)), same[:, 1])
    return np.concatenate([same, distinct[similar_pairs(thumbnails[distinct])]])


def _connected(count: int, pairs: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Positions that pairs connect, in ascending order, by their first one."""
    if not len(pairs):
        return []
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), dtype=bool), pairs.T), shape=(count, count))
    _, groups = connected_components(links, directed=False)
    linked = np.unique(pairs)
    order = linked[np.argsort(groups[linked], kind="stable")]
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    return sorted(np.split(order, cuts), key=lambda group: int(group[0]))


def _titles(pictures: Pictures, indices: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(printable(pictures.title(index)) for index in indices.tolist())
