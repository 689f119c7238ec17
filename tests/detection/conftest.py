"""Encoders with and without a door, and searches that take no time."""

from functools import partial

import pytest

from mimic.detection import families
from mimic.detection.gathering import gather

from ..searches import shorten_searches


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches small enough for a test."""
    shorten_searches(monkeypatch, population=128, rounds=4, judged_on=16)
    monkeypatch.setattr(families, "gather", partial(gather, steps=4))
    monkeypatch.setattr(families, "RESTARTS", 4)
