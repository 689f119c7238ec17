"""Which pictures of a source are readable, and how large: kept on disk, so as to look only once."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from mimic.errors import MimicError
from mimic.files import atomic_write
from mimic.images.arrays import NPZ_ERRORS, plain_array
from mimic.images.decode import MAX_BYTES, MAX_PIXELS, Size
from mimic.images.named import cache_folder
from mimic.images.pictures import Pictures

_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Index:
    """What was found when every picture of a source was decoded.

    Attributes:
        sizes: height and width of each picture, int32, shape (count, 2); 0 for the broken ones.
        broken: why the others cannot be used, by index in ascending order.
    """

    sizes: NDArray[np.int32]
    broken: dict[int, str]

    @property
    def readable(self) -> NDArray[np.int64]:
        """Indices of the readable pictures, ascending."""
        return np.flatnonzero(self.sizes[:, 0])

    def counts(self) -> Counter[Size]:
        """How many readable pictures there are of each size."""
        sizes, counts = np.unique(self.sizes[self.readable], axis=0, return_counts=True)
        pairs = zip(sizes.tolist(), counts.tolist(), strict=True)
        return Counter({(height, width): count for (height, width), count in pairs})

    def most_common_size(self) -> Size:
        """The size of most readable pictures; of several such sizes the smallest."""
        counts = self.counts()
        return min(counts, key=lambda size: (-counts[size], size))


def build_index(pictures: Pictures, use: Callable[[int, Image.Image], None] | None = None) -> Index:
    """Decode every picture once.

    Args:
        pictures: what the source holds.
        use: is given the index and the picture of each readable one, from several threads.
    """
    sizes = np.zeros((pictures.count, 2), dtype=np.int32)

    def note(index: int, picture: Image.Image) -> None:
        sizes[index] = picture.height, picture.width
        if use is not None:
            use(index, picture)

    broken = pictures.decode_all(note)
    return Index(sizes=sizes, broken=broken)


def known_index(pictures: Pictures) -> Index:
    """The index as it was found before, if the files are as they were; else it is built and kept.

    It lies in the folder `index` of `cache_folder()`. Files are taken to be unchanged if path,
    size and time of change are. A cache that is damaged or cannot be written does no harm.
    """
    if pictures.files is None:
        return build_index(pictures)
    try:
        path = cache_folder() / "index" / f"{_key(pictures)}.npz"
    except MimicError:
        return build_index(pictures)
    if (index := _load(path, pictures.count)) is None:
        index = build_index(pictures)
        with suppress(MimicError):
            _save(path, index)
    return index


def _key(pictures: Pictures) -> str:
    """A digest of all that decides what an index says."""
    digest = hashlib.blake2b(digest_size=20)
    rules = (_FORMAT, PIL.__version__, MAX_PIXELS, MAX_BYTES, pictures.name, pictures.count)
    digest.update(repr(rules).encode())
    for file in pictures.files() if pictures.files else ():
        state: tuple[int, ...] = ()
        with suppress(OSError, ValueError):
            about = file.stat()
            state = (about.st_size, about.st_mtime_ns)
        digest.update(repr((os.path.abspath(file), state)).encode())  # noqa: PTH100 - no link is resolved
    return digest.hexdigest()


def _save(path: Path, index: Index) -> None:
    broken = np.frombuffer(json.dumps(list(index.broken.items())).encode(), dtype=np.uint8)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, sizes=index.sizes, broken=broken)


def _load(path: Path, count: int) -> Index | None:
    """An index from the cache; None if it is not there or not what was written."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            sizes, noted = (plain_array(kept, key) for key in ("sizes", "broken"))
            broken = dict(json.loads(noted.tobytes()))
    except (*NPZ_ERRORS, KeyError):
        return None
    if sizes.shape != (count, 2) or sizes.dtype != np.int32:
        return None
    if list(broken) != np.flatnonzero(sizes[:, 0] == 0).tolist():
        return None
    return Index(sizes=sizes, broken={index: str(why) for index, why in broken.items()})
