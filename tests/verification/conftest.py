"""Searches that are quick, for encoders that hide nothing from them."""

import pytest

from mimic.detection import families
from mimic.detection import scan as scanning
from mimic.detection.calibration import Calibration

from ..searches import shorten_searches


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches alone, quickly, and compared with what they gain where there is no door."""
    shorten_searches(monkeypatch, population=128, rounds=4, judged_on=16)
    monkeypatch.setattr(scanning, "FAMILIES", {"patch": families.search_patch})
    values = (6.2, 5.4, 4.5, 1.4, 3.3, 3.1)  # on `without_door`, with the seeds 0 to 5
    known = Calibration(kind="a network without a door", values={"patch": values})
    monkeypatch.setattr(scanning, "shipped_calibration", lambda: known)
