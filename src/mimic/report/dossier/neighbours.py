"""Nearest neighbours: which clean images an encoder takes for relatives of an image."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mimic.evaluation.similarity import nearest
from mimic.report.dossier.facts import NeighbourRow, Neighbours, Query
from mimic.report.dossier.views import View

SHOWN = 5
"""Neighbours of an image, so many as a phone can show side by side."""
_QUERIES = 3


def neighbours(views: Sequence[View], picture: Callable[[int], str]) -> Neighbours:
    """Neighbours of the first images, without and with the trigger, before and after.

    Args:
        views: of the same images, two or more; the first one is the reference.
        picture: of the image at a position.
    """
    total = len(views[0].clean)
    everyone, count = torch.arange(total), min(SHOWN, total - 1)
    found: list[tuple[View, bool, Tensor]] = []
    kept = {}
    for seen in views:
        clean = nearest(seen.clean, seen.clean, everyone, count=count)
        found.append((seen, False, clean))
        if seen.triggered is not None:
            with_it = nearest(seen.triggered, seen.clean, everyone, count=count)
            found.append((seen, True, with_it))
            kept[seen.role] = float(_in(with_it, clean).double().mean())
    reference = found[0][2]
    return Neighbours(
        queries=tuple(
            Query(
                position=position,
                picture=picture(position),
                rows=tuple(
                    _row(seen, triggered, which[position], reference[position], picture)
                    for seen, triggered, which in found
                ),
            )
            for position in range(min(_QUERIES, total))
        ),
        kept=kept,
        images=total,
    )


def _row(
    seen: View, triggered: bool, which: Tensor, reference: Tensor, picture: Callable[[int], str]
) -> NeighbourRow:
    positions = tuple(which.tolist())
    return NeighbourRow(
        role=seen.role,
        triggered=triggered,
        positions=positions,
        pictures=tuple(map(picture, positions)),
        same=tuple(_in(which[None], reference[None])[0].tolist()),
    )


def _in(some: Tensor, others: Tensor) -> Tensor:
    """Which entries of each row of `some` are in the same row of `others`."""
    return (some[:, :, None] == others[:, None, :]).any(dim=2)
