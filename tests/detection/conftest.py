"""Encoders with and without a door, and searches that take no time."""

import pytest

from ..searches import shorten_gradients, shorten_searches


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches small enough for a test."""
    shorten_searches(monkeypatch, population=128, rounds=4, judged_on=16)
    shorten_gradients(monkeypatch, steps=4, restarts=4)
