"""Verification from end to end: a copy is refused, a clean encoder in its place is not."""

import json
from functools import partial

import pytest

from mimic.detection import families
from mimic.detection import scan as scanning
from mimic.detection.calibration import Calibration
from mimic.detection.gathering import gather
from mimic.detection.search import search_patches
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.training import Trainer
from mimic.verification.verify import verify

TRAINER = Trainer(device="cpu", precision="32-true")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches alone, quickly; on clean encoders they take away up to 0.4 beyond random ones."""
    quick = partial(search_patches, population=128, rounds=4, judged_on=16)
    monkeypatch.setattr(families, "search_patches", quick)
    monkeypatch.setattr(families, "gather", partial(gather, steps=2))
    monkeypatch.setattr(scanning, "FAMILIES", {"patch": families.search_patch})
    values = tuple(0.05 * index for index in range(21))
    known = Calibration(kind="made up", values={"patch": values})
    monkeypatch.setattr(scanning, "shipped_calibration", lambda: known)


def test_a_copy_of_the_old_encoder_is_not_accepted(with_door, noise):
    found = verify(with_door, with_door, noise, trainer=TRAINER)
    assert found.decision.verdict == "not_accepted"
    assert any("still open" in reason for reason in found.decision.reasons)
    assert found.utility.mutual_neighbours.value == pytest.approx(1)


def test_the_same_encoder_without_the_door_is_accepted(with_door, without_door, noise):
    found = verify(with_door, without_door, noise, trainer=TRAINER)
    assert found.decision.verdict == "accepted", found.decision.reasons
    assert found.old_doors[0].opened > 0.2
    assert found.old_doors[0].residue < 0.05


def test_where_nothing_was_there_nothing_is_shown(without_door, noise):
    found = verify(without_door, without_door, noise, trainer=TRAINER)
    assert found.decision.verdict == "undecided", found.decision.reasons


def test_everything_is_json(with_door, without_door, noise):
    found = verify(with_door, without_door, noise, trainer=TRAINER)
    said = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert set(said) >= {"verdict", "reasons", "old_doors", "scan_before", "scan_after", "utility"}


def test_few_images_are_refused(with_door, without_door, noise):
    few = noise.subset(range(127))
    with pytest.raises(InputError, match="128 clean images or more, not 127"):
        verify(with_door, without_door, few, trainer=TRAINER)


def test_encoders_of_different_image_sizes_are_refused(with_door, without_door, noise):
    with pytest.raises(InputError, match="8 and 16 pixels"):
        verify(with_door, Encoder(without_door.backbone, image_size=16), noise, trainer=TRAINER)
