"""What inverted triggers look like: on images, and as the difference that they make."""

import torch
from torch import Tensor

from mimic.evaluation.features import Stamp, stamp_batch
from mimic.report.dossier.facts import Example
from mimic.report.pictures import data_uri, thumbnail

_MOST = 160
"""Pixels of the longer side of a picture; larger images would make the report heavy."""
_GREY = 128


def examples(stamp: Stamp, images: Tensor) -> tuple[Example, ...]:
    """Images with a trigger.

    Args:
        stamp: the trigger.
        images: uint8, shape (n, 3, height, width).
    """
    stamped = stamp_batch(stamp, images)
    return tuple(_example(*pair) for pair in zip(images, stamped, strict=True))


def difference(clean: Tensor, triggered: Tensor) -> tuple[Tensor, float]:
    """What a trigger changes, on grey, and by how much it is amplified to be seen.

    Args:
        clean: uint8, shape (3, height, width).
        triggered: likewise.

    Returns:
        A uint8 picture that is grey where nothing changes and black or white where most does, and
        the factor, 1 where nothing changes at all.
    """
    changed = triggered.int() - clean.int()
    largest = int(changed.abs().max())
    factor = (_GREY - 1) / largest if largest else 1.0
    return (_GREY + changed * factor).round().to(torch.uint8), factor


def _example(clean: Tensor, triggered: Tensor) -> Example:
    changed, factor = difference(clean, triggered)
    small = [data_uri(thumbnail(one, most=_MOST)) for one in (clean, triggered, changed)]
    return Example(clean=small[0], triggered=small[1], difference=small[2], amplified=factor)
