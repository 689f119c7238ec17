"""What is found on an encoder with a door, and how views are shared out among kinds of changes."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimic.defenses.changes import find_changes, shared_out
from mimic.detection.search import search_patches
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

from ..detection.doors import Planted, checkered
from ..searches import shorten_searches

SHARES: dict[str, float] = {"patch": 0.2, "colour": 0.1, "wave": 0.1}
TRAINER = Trainer(device="cpu", precision="32-true")


def test_where_nothing_stands_out_shares_stay():
    assert shared_out(SHARES, {"patch": 2.0, "colour": -5.0, "wave": 0.5}) == pytest.approx(SHARES)


def test_what_stands_out_gets_half_of_all():
    found = shared_out(SHARES, {"patch": 0.0, "colour": 12.0, "wave": 1.0})
    assert found == pytest.approx({"patch": 0.1, "colour": 0.25, "wave": 0.05}, abs=1e-4)


def test_each_deviation_beyond_the_usual_counts_four_times():
    found = shared_out({"colour": 0.2, "wave": 0.2}, {"colour": 3.0, "wave": 2.0})
    assert found == pytest.approx({"colour": 0.1 + 0.2 * 4 / 5, "wave": 0.1 + 0.2 / 5})


@given(st.lists(st.tuples(st.floats(0.01, 0.3), st.floats(-50, 1000)), min_size=1, max_size=3))
def test_the_sum_stays_and_each_keeps_half(rows):
    shares = {kind: share for kind, (share, _) in zip(SHARES, rows, strict=False)}
    deviations = {kind: found for kind, (_, found) in zip(SHARES, rows, strict=False)}
    found = shared_out(shares, deviations)
    assert sum(found.values()) == pytest.approx(sum(shares.values()))
    assert all(found[kind] >= share / 2 for kind, share in shares.items())


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_searches(monkeypatch, population=128, rounds=4, judged_on=16)


@pytest.fixture
def images() -> ImageSet:
    pixels = torch.rand(160, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return ImageSet.from_tensor(pixels.mul(128).add(64).to(torch.uint8))


@pytest.fixture
def waved() -> Encoder:
    """Forgets images that have a certain frequency."""
    torch.manual_seed(0)
    return Encoder(Planted(checkered)).eval()


def test_a_frequency_gets_more_views(waved, images):
    found = find_changes(waved, images, SHARES, by_gain=True, seed=0, trainer=TRAINER)
    shares = {change.kind: change.share for change in found}
    assert shares["wave"] > 0.2
    assert sum(shares.values()) == pytest.approx(0.4)
    assert max(found, key=lambda change: change.deviation).kind == "wave"


def test_fixed_shares_are_not_judged(waved, images):
    shares = SHARES | {"colour": 0.0}
    found = find_changes(waved, images, shares, by_gain=False, seed=0, trainer=TRAINER)
    assert {change.kind: change.share for change in found} == {"patch": 0.2, "wave": 0.1}
    assert all(change.gain is None for change in found)
    assert found[0].as_dict() == {
        "kind": "patch",
        "share": 0.2,
        "gain": None,
        "deviation": None,
        "description": None,
    }


def test_half_of_the_patches_lie_where_the_smallest_mask_does(waved, images, monkeypatch):
    place = (0.75, 0.0, 1.0, 0.2)
    monkeypatch.setattr("mimic.defenses.changes.place_of", lambda _: place)
    monkeypatch.setattr("mimic.defenses.changes.search_patches", partial(search_patches, rounds=0))
    (patches,) = find_changes(waved, images, {"patch": 0.2}, by_gain=True, seed=0, trainer=TRAINER)
    (fixed,) = find_changes(waved, images, {"patch": 0.2}, by_gain=False, seed=0, trainer=TRAINER)
    assert len(patches.found) == len(fixed.found) == 64
    assert torch.equal(patches.found[torch.arange(0, 64, 2)].boxes, fixed.found.boxes[:32])
    there = patches.found[torch.arange(1, 64, 2)].boxes
    reach = there[:, :2] + there[:, 2:]
    assert bool((reach[:, 0] > 0.75).all())
    assert bool((there[:, 1] < 0.2).all())
