"""Searches of encoders that take a moment, for tests of what uses them."""

from functools import partial

import pytest
import torch
from torch import Tensor

from mimic.detection import families
from mimic.detection.search import search_colours, search_marks, search_patches, search_waves
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet


def shorten_searches(monkeypatch: pytest.MonkeyPatch, **settings: int) -> None:
    """Make the searches of the default defence and of scans with other settings than their own.

    Crowds are not looked for: a network that is hardly trained sees them everywhere.
    """
    for search in (search_patches, search_colours, search_waves):
        for module in ("mimic.defenses.mimic", "mimic.detection.families"):
            monkeypatch.setattr(f"{module}.{search.__name__}", partial(search, **settings))
    monkeypatch.setattr(families, "search_marks", partial(search_marks, **settings))
    monkeypatch.setattr(families, "_COMPARED", families.KEPT)
    monkeypatch.setattr("mimic.defenses.mimic.uncrowded", _all_of_them)


def _all_of_them(_: Encoder, images: ImageSet, **__: object) -> Tensor:
    return torch.arange(len(images))
