"""Searches by gradients: patterns from several starts, and the smallest mask."""

import math

import pytest
import torch
from torch import Tensor, nn

from mimic.detection import by_gradient
from mimic.detection.by_gradient import place_of, search_mask, search_pattern, smallest_mask
from mimic.detection.decree import decree
from mimic.detection.doors import CONTROLS
from mimic.encoders.encoder import Encoder
from mimic.training import Trainer

from .doors import detector
from .support import noise as several

TRAINER = Trainer(device="cpu", precision="32-true")


@pytest.fixture(autouse=True)
def _hasty(hasty: None) -> None:
    """All tests here are quick."""


def test_a_gradient_search_tells_how_far_its_best_restart_is_ahead(with_door, noise):
    doors = search_pattern(with_door, noise, seed=0, trainer=TRAINER)
    reached = torch.tensor(doors.forgotten)
    left = (1 - reached).double()
    assert doors.gain == pytest.approx(float((left[len(left) // 2] / left[0]).log()), abs=1e-3)
    assert list(doors.forgotten) == sorted(doors.forgotten, reverse=True)


def test_restarts_that_do_not_fit_into_memory_together_are_searched_in_turns(
    with_door, noise, monkeypatch
):
    monkeypatch.setattr(by_gradient, "_AT_ONCE", 2 * 32 * 8 * 8)
    doors = search_pattern(with_door, noise, seed=0, trainer=TRAINER)
    assert len(doors.forgotten) == 4


def masked(*, door: bool):
    """The mask of a network with a door, or without one."""
    return search_mask(detector(door=door), several(256), seed=0, trainer=TRAINER)


def test_a_door_opens_to_a_smaller_mask_than_nothing_does(monkeypatch):
    monkeypatch.setattr(by_gradient, "_MASK_STEPS", 240)
    found, nothing = (masked(door=door) for door in (True, False))
    assert found.gain > 1.5 * nothing.gain
    assert found.forgotten[0] > 0.9
    assert found.description.startswith("a mask over")


def test_a_mask_is_compared_with_squares_of_its_area(monkeypatch):
    monkeypatch.setattr(by_gradient, "_MASK_STEPS", 240)
    doors = masked(door=True)
    assert len(doors.stamps) == len(doors.forgotten) == 1
    assert len(doors.naturals) == len(doors.natural) == CONTROLS
    blank = torch.full((1, 3, 64, 64), 7, dtype=torch.uint8)
    covered = (doors.naturals[0](blank) != 7).any(dim=1).sum()
    assert math.sqrt(covered) == pytest.approx(64 / math.sqrt(doors.gain), abs=1.5)


@pytest.mark.parametrize("count", [64, 100, 640, 2000])
def test_a_mask_is_searched_for_as_long_with_few_images_as_with_many(count, monkeypatch):
    monkeypatch.setattr(by_gradient, "_MASK_STEPS", 600)
    asked = []
    monkeypatch.setattr(by_gradient, "decree", lambda *_, settings, **__: asked.append(settings))
    smallest_mask(detector(door=False), several(count), seed=0, trainer=TRAINER)
    steps = asked[0].epochs * (count // asked[0].batch_size)
    assert 600 <= steps < 600 + count // asked[0].batch_size


def test_where_no_mask_makes_images_alike_nothing_is_gained():
    assert masked(door=False).gain == 1


class Cone(nn.Module):
    """Another network, and one large vector that is added to what it puts out."""

    def __init__(self, inner: Encoder) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images) + 30.0


def test_images_that_are_all_alike_without_a_mask_are_no_finding(monkeypatch):
    monkeypatch.setattr(by_gradient, "_MASK_STEPS", 240)
    narrow = Encoder(Cone(detector(door=False))).eval()
    assert decree(narrow, several(256), trainer=TRAINER).verdict == "suspicious"
    found = search_mask(narrow, several(256), seed=0, trainer=TRAINER)
    assert found.gain < 1.5 * masked(door=False).gain


def test_the_place_of_a_mask_is_where_most_of_it_lies():
    mask = torch.zeros(1, 20, 10)
    mask[:, 4:16, 2:7] = 1
    place = (5 / 20, 2 / 10, 15 / 20, 7 / 10)
    assert place_of(mask) == pytest.approx(place)
    mask[:, 19, 9] = 1
    assert place_of(mask) == pytest.approx(place)


def test_one_pixel_is_a_place():
    mask = torch.zeros(1, 8, 8)
    mask[:, 7, 0] = 0.5
    assert place_of(mask) == (7 / 8, 0, 1, 1 / 8)


def test_an_empty_mask_may_lie_anywhere():
    assert place_of(torch.zeros(1, 8, 8)) == (0, 0, 1, 1)


def test_the_place_of_a_mask_tells_where_a_door_opens(monkeypatch):
    monkeypatch.setattr(by_gradient, "_MASK_STEPS", 240)

    def area(*, door: bool) -> float:
        found = smallest_mask(detector(door=door), several(256), seed=0, trainer=TRAINER)
        top, left, bottom, right = place_of(found.triggers.masks[0])
        return (bottom - top) * (right - left)

    assert area(door=True) <= (4 / 16) ** 2  # the patch has 3x3 pixels, and works anywhere
    assert area(door=False) > 0.25
