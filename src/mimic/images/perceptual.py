"""Pictures that look alike: a difference hash, and the pairs that are close by it.

Source: N. Krawetz, "Kind of Like That", 2013 (the difference hash); M. Norouzi, A. Punjani and
D. Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012, arXiv:1307.2982.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL = (8, 9)
"""Height and width of the grey picture that is hashed, in pixels."""
MOST_BITS = 2
"""Pictures whose hashes differ in more bits than this are not alike."""
MOST_LEVELS = 8.0
"""Nor are those whose thumbnails differ by more than this on average, of 255 grey levels."""

_WORDS = 4
_CROWD = 16
_SLICE = 1 << 15
# Bits of a hash are mixed, so that a plain sky does not empty one of the words alone.
_MIXED = np.random.default_rng(0).permutation(64)
_BITS_SET = np.array([value.bit_count() for value in range(1 << 16)], dtype=np.uint8)


def thumbnail(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture as 8 rows of 9 grey levels, each the mean of its part of the picture."""
    height, width = THUMBNAIL
    return np.asarray(picture.convert("L").resize((width, height), Image.Resampling.BOX))


def difference_hash(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Whether each grey level is brighter than the one to its left, as 64 bits in mixed order.

    Args:
        thumbnails: shape (n, 8, 9).

    Returns:
        Shape (n, 4); a picture that is brighter or scaled has nearly the same bits.
    """
    brighter = thumbnails[:, :, 1:] > thumbnails[:, :, :-1]
    packed = np.packbits(brighter.reshape(-1, 64)[:, _MIXED], axis=1)
    return np.ascontiguousarray(packed).view(np.uint16)


def similar_pairs(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs of pictures that look alike: `MOST_BITS` and `MOST_LEVELS` apart or less.

    Two hashes that differ in two bits agree in two of their four words at least, so only pictures
    that share two words are compared. In a crowd of pictures that share them each is compared
    with the 16 that follow it in the order of the hashes, so that the work stays bounded; pairs
    further apart may be missed, but not the chain of pairs between copies of one picture.

    Args:
        thumbnails: shape (n, 8, 9).

    Returns:
        Positions, shape (pairs, 2), the smaller one first; each pair once.
    """
    words = difference_hash(thumbnails)
    found = [
        pairs[_alike(pairs, words, thumbnails)]
        for chosen in combinations(range(_WORDS), 2)
        for pairs in _candidates(words, chosen)
    ]
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
    count = max(1, len(words))
    ordered = np.unique(pairs.min(axis=1) * count + pairs.max(axis=1))
    return np.stack(np.divmod(ordered, count), axis=1)


def _candidates(words: NDArray[np.uint16], chosen: tuple[int, ...]) -> Iterator[NDArray[np.int64]]:
    """Pairs that agree in the chosen words."""
    others = [word for word in range(_WORDS) if word not in chosen]
    order = np.lexsort(words[:, [*others, *chosen]].T)
    keys = words[order][:, chosen].astype(np.uint32) @ np.array([1 << 16, 1], dtype=np.uint32)
    starts = np.arange(len(keys))
    for step in range(1, _CROWD + 1):
        starts = starts[starts + step < len(keys)]
        starts = starts[keys[starts] == keys[starts + step]]
        if not len(starts):
            return
        for some in np.split(starts, range(_SLICE, len(starts), _SLICE)):
            yield np.stack([order[some], order[some + step]], axis=1)


def _alike(
    pairs: NDArray[np.int64], words: NDArray[np.uint16], thumbnails: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    first, second = pairs.T
    bits = _BITS_SET[words[first] ^ words[second]].sum(axis=1, dtype=np.int64)
    apart = thumbnails[first].astype(np.float32) - thumbnails[second]
    # A picture that is brighter all over is still the same one.
    apart -= apart.mean(axis=(1, 2), keepdims=True)
    return (bits <= MOST_BITS) & (np.abs(apart).mean(axis=(1, 2)) <= MOST_LEVELS)
