"""Parts of a batch: one per process, and smaller ones where memory is short."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mimic.training import processes


@dataclass(frozen=True, kw_only=True)
class Part:
    """What this process takes of a batch.

    Attributes:
        positions: of its images.
        batch: images of the whole batch.
        share: weight of this process's loss. Over all processes these add up to 1, as their
            gradients are added up; it is 1 where each keeps its own.
        divided: False where every process takes the whole batch.
        smallest: images of the smallest part of any process.
    """

    positions: Tensor
    batch: int
    share: float
    divided: bool
    smallest: int


def own_part(positions: Tensor, *, divisible: bool) -> Part:
    """The images of a batch that this process works on.

    Args:
        positions: of the images of the batch.
        divisible: False lets every process do the whole work by itself. A divisible batch with
            fewer images than there are processes is not divided either.
    """
    batch, count = len(positions), processes.count()
    if not divisible or batch < count or count == 1:
        share = 1 / count if divisible else 1.0
        return Part(positions=positions, batch=batch, share=share, divided=False, smallest=batch)
    own = positions.tensor_split(count)[processes.rank()]
    return Part(
        positions=own, batch=batch, share=len(own) / batch, divided=True, smallest=batch // count
    )


def split(batch: Any, parts: int) -> list[Any]:
    """A batch in `parts` parts whose sizes differ by one at most.

    Args:
        batch: a tensor whose first dimension counts images, or a tuple, list or dict of such.
        parts: at most the number of images.
    """
    if parts == 1:
        return [batch]
    if isinstance(batch, Tensor):
        return list(batch.tensor_split(parts))
    if isinstance(batch, dict):
        columns = [split(value, parts) for value in batch.values()]
        return [dict(zip(batch, row, strict=True)) for row in zip(*columns, strict=True)]
    columns = [split(item, parts) for item in batch]
    return [type(batch)(row) for row in zip(*columns, strict=True)]


def sizes_of(images: int, parts: int) -> list[int]:
    """The sizes of the parts that `split` makes of so many images."""
    least, larger = divmod(images, parts)
    return [least + (index < larger) for index in range(parts)]
