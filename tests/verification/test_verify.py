"""Verification from end to end: a copy is refused, a clean encoder in its place is not."""

import json

import pytest

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.training import Trainer
from mimic.verification import verify as verifying
from mimic.verification.verify import verify

pytestmark = pytest.mark.usefixtures("hasty")
TRAINER = Trainer(device="cpu", precision="32-true")


def test_a_copy_of_the_old_encoder_is_not_accepted(with_door, noise):
    found = verify(with_door, with_door, noise, trainer=TRAINER)
    assert found.decision.verdict == "not_accepted"
    assert any("still open" in reason for reason in found.decision.reasons)
    assert found.utility.mutual_neighbours.value == pytest.approx(1)


def test_the_same_encoder_without_the_door_is_accepted(with_door, without_door, noise):
    found = verify(with_door, without_door, noise, trainer=TRAINER)
    assert found.decision.verdict == "accepted", found.decision.reasons
    assert found.old_doors[0].opened > 0.2
    assert found.old_doors[0].residue < found.old_doors[0].opened / 10


def test_what_is_searched_with_does_not_judge(with_door, without_door, noise, monkeypatch):
    seen = {"search": [], "judge": []}

    def watched(name: str, part: str, position: int) -> None:
        work = getattr(verifying, name)

        def watch(*args, **settings):
            seen[part].append(args[position].tensor())
            return work(*args, **settings)

        monkeypatch.setattr(verifying, name, watch)

    watched("scan", "search", 1)
    watched("measure_old_door", "judge", 3)
    watched("measure_utility", "judge", 2)
    verify(with_door, without_door, noise, trainer=TRAINER)
    searched, judges = (
        {image.numpy().tobytes() for batch in batches for image in batch}
        for batches in seen.values()
    )
    assert len(searched) + len(judges) == len(noise)
    assert searched.isdisjoint(judges)


def test_where_nothing_was_there_nothing_is_shown(without_door, noise):
    found = verify(without_door, without_door, noise, trainer=TRAINER)
    assert found.decision.verdict == "undecided", found.decision.reasons


def test_everything_is_json(with_door, without_door, noise):
    found = verify(with_door, without_door, noise, trainer=TRAINER)
    said = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert set(said) == {
        *("verdict", "reasons", "thresholds", "old_doors", "scan_before", "scan_after", "utility"),
        *("canary", "images", "images_used", "seen", "seconds"),
    }
    assert (said["images"], said["images_used"], said["seen"]) == ("images", 160, False)
    assert said["canary"] is None


def test_a_scan_that_was_made_before_is_not_made_again(with_door, without_door, noise):
    first = verify(with_door, with_door, noise, trainer=TRAINER)
    again = verify(with_door, without_door, noise, scan_before=first.scan_before, trainer=TRAINER)
    whole = verify(with_door, without_door, noise, trainer=TRAINER)
    assert again.scan_before is first.scan_before
    assert again.old_doors == whole.old_doors
    assert again.decision == whole.decision


def test_few_images_are_refused(with_door, without_door, noise):
    few = noise.subset(range(127))
    with pytest.raises(InputError, match="128 clean images or more, not 127"):
        verify(with_door, without_door, few, trainer=TRAINER)


def test_encoders_of_different_image_sizes_are_refused(with_door, without_door, noise):
    with pytest.raises(InputError, match="8 and 16 pixels"):
        verify(with_door, Encoder(without_door.backbone, image_size=16), noise, trainer=TRAINER)
