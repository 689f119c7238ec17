"""Pictures: what a source holds before anybody has looked inside, and looking at all of it."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from PIL import Image
from torch import Tensor

from mimic.images.decode import BrokenImageError, Size

_CHUNK = 128


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What a source holds.

    Attributes:
        count: number of pictures.
        picture: takes 0 to count - 1, gives an RGB picture of any size or raises
            BrokenImageError; called from several threads.
        title: the name of a picture as the source spells it; see `mimic.text.printable`.
        name: the name of the source in messages.
        labels: class of each picture, shape (count,), or None.
        class_names: names of the classes where the source knows them.
        default_size: height and width to use where nobody asks for a size.
        resampling: the filter with which pictures of another size are resized.
        files: the files on disk that decide what the pictures are; None where there are none.
    """

    count: int
    picture: Callable[[int], Image.Image]
    title: Callable[[int], str]
    name: str
    labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    default_size: Size | None = None
    resampling: Image.Resampling = Image.Resampling.BICUBIC
    files: Callable[[], Iterable[Path]] | None = None

    def subset(self, indices: Sequence[int]) -> "Pictures":
        """The pictures at `indices`, in that order, with their labels."""
        return replace(
            self,
            count=len(indices),
            picture=lambda index: self.picture(indices[index]),
            title=lambda index: self.title(indices[index]),
            labels=None if self.labels is None else self.labels[list(indices)],
            files=None,
        )

    def decode_all(self, use: Callable[[int, Image.Image], None]) -> dict[int, str]:
        """Decode every picture once, several at a time.

        Args:
            use: is given the index and the picture of each readable one, from several threads.

        Returns:
            Why the others are broken, by index in ascending order.
        """
        broken: dict[int, str] = {}

        def work(start: int) -> None:
            for index in range(start, min(start + _CHUNK, self.count)):
                try:
                    picture = self.picture(index)
                except BrokenImageError as error:
                    broken[index] = str(error)
                else:
                    use(index, picture)

        for _ in decoders().map(work, range(0, self.count, _CHUNK)):
            pass
        return dict(sorted(broken.items()))


@cache
def decoders() -> ThreadPoolExecutor:
    """The threads that decode; Pillow lets them work side by side."""
    return ThreadPoolExecutor(min(16, os.cpu_count() or 1), thread_name_prefix="decode")


# A forked process inherits the pool but none of its threads; where there is no fork, no harm.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=decoders.cache_clear)
