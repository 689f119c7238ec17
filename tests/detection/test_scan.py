"""A scan tells an encoder with a door from one without, and says what it did."""

import json
import math

import pytest
import torch

from mimic.detection.calibration import LEAST, Calibration
from mimic.detection.displacement import displaced
from mimic.detection.families import FAMILIES
from mimic.detection.scan import calibrate, scan
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.training import Trainer

TRAINER = Trainer(device="cpu", precision="32-true")
pytestmark = pytest.mark.usefixtures("hasty")


def around(gains: dict[str, float]) -> Calibration:
    """Twenty encoders around the gains of one."""
    steps = [(index - 9.5) / 100 for index in range(20)]
    values = {
        family: tuple(max(gain, LEAST) * math.exp(step) for step in steps)
        for family, gain in gains.items()
    }
    return Calibration(kind="twenty alike", values=values)


@pytest.fixture
def usual(without_door, noise) -> Calibration:
    flat = around(dict.fromkeys(FAMILIES, 0.0))
    found = scan(without_door, noise, calibration=flat, trainer=TRAINER)
    return around({doors.family: doors.gain for doors in found.doors})


def test_a_door_is_suspicious(with_door, noise, usual):
    found = scan(with_door, noise, calibration=usual, trainer=TRAINER)
    assert found.verdict == "suspicious"
    assert found.p_value <= 0.05
    assert found.p_values["patch"] == min(found.p_values.values())


def test_an_encoder_like_those_that_it_is_compared_with_is_clean(
    with_door, without_door, noise, monkeypatch
):
    two = {name: FAMILIES[name] for name in ("patch", "colour")}
    monkeypatch.setattr("mimic.detection.scan.FAMILIES", two)
    others = [without_door.reinitialized(seed).eval() for seed in (1, 2, 3)]
    known = calibrate(others, noise, trainer=TRAINER)
    verdicts = [
        scan(encoder, noise, calibration=known, trainer=TRAINER).verdict
        for encoder in (without_door, with_door)
    ]
    assert verdicts == ["clean", "suspicious"]


def test_the_cosines_are_those_of_all_pairs(with_door, noise, usual):
    found = scan(with_door, noise, calibration=usual, trainer=TRAINER)
    features = extract_features(with_door, noise, trainer=TRAINER).double()
    pairs = features @ features.T
    others = ~torch.eye(len(features), dtype=torch.bool)
    assert found.cosine_before == pytest.approx(float(pairs[others].mean()), abs=1e-6)
    assert found.cosine_after["patch"] > found.cosine_before


def test_the_displacements_are_those_of_the_best_triggers(with_door, noise, usual):
    found = scan(with_door, noise, calibration=usual, trainer=TRAINER)
    plain = extract_features(with_door, noise, trainer=TRAINER)
    for doors in found.doors:
        changed = extract_features(with_door, noise, trigger=doors.stamps[0], trainer=TRAINER)
        expected = pytest.approx(float(displaced(changed, plain)), rel=1e-4)
        assert found.displaced[doors.family] == expected


def test_everything_is_json(with_door, noise, usual):
    data = json.loads(
        json.dumps(scan(with_door, noise, calibration=usual, trainer=TRAINER).as_dict())
    )
    assert set(data) >= {"verdict", "score", "p_value", "seconds", "triggers"}
    assert [trigger["family"] for trigger in data["triggers"]] == list(FAMILIES)


def test_few_images_are_refused(with_door, without_door, noise):
    few = noise.subset(range(63))
    with pytest.raises(InputError, match="64 clean images or more, not 63"):
        scan(with_door, few, trainer=TRAINER)
    with pytest.raises(InputError, match="64 clean images or more, not 63"):
        calibrate([without_door] * 3, few, trainer=TRAINER)


def test_references_give_the_gains_of_their_scans(with_door, without_door, noise, usual):
    references = [without_door, with_door, without_door]
    made = calibrate(references, noise, trainer=TRAINER)
    found = scan(with_door, noise, calibration=usual, trainer=TRAINER)
    assert made.count == 3
    for doors in found.doors:
        first, second, third = made.values[doors.family]
        assert second == doors.gain
        assert first == third


def test_two_references_are_refused_before_any_search(without_door, noise, monkeypatch):
    monkeypatch.setattr("mimic.detection.scan.FAMILIES", {})
    with pytest.raises(InputError, match="3 or more"):
        calibrate([without_door] * 2, noise, trainer=TRAINER)
