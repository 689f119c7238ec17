"""Searches of encoders that take a moment, for tests of what uses them."""

from functools import partial

import pytest
import torch
from torch import Tensor

from mimic.detection import by_gradient, families
from mimic.detection.gathering import gather
from mimic.detection.search import search_colours, search_marks, search_patches, search_waves
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet


def shorten_searches(monkeypatch: pytest.MonkeyPatch, **settings: int) -> None:
    """Make the searches of the default defence and of scans with other settings than their own.

    Crowds are not looked for: a network that is hardly trained sees them everywhere.
    """
    for search in (search_patches, search_colours, search_waves):
        for module in ("mimic.defenses.changes", "mimic.detection.families"):
            monkeypatch.setattr(f"{module}.{search.__name__}", partial(search, **settings))
    monkeypatch.setattr(families, "search_marks", partial(search_marks, **settings))
    monkeypatch.setattr(families, "COMPARED", families.KEPT)
    monkeypatch.setattr(by_gradient, "_MASK_STEPS", 1)
    monkeypatch.setattr("mimic.defenses.mimic.uncrowded", _all_of_them)


def shorten_gradients(monkeypatch: pytest.MonkeyPatch, *, steps: int, restarts: int) -> None:
    """Make the searches of scans that need gradients last so many steps, from so many starts."""
    monkeypatch.setattr(by_gradient, "gather", partial(gather, steps=steps))
    monkeypatch.setattr(by_gradient, "RESTARTS", restarts)
    monkeypatch.setattr(by_gradient, "_MASK_STEPS", 1)


def _all_of_them(_: Encoder, images: ImageSet, **__: object) -> Tensor:
    return torch.arange(len(images))
