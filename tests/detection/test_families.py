"""Every family finds something, says how good it is, and leaves the encoder as it was."""

import pytest
import torch

from mimic.detection.doors import CONTROLS, KEPT, judges_of, stamps_of
from mimic.detection.families import (
    FAMILIES,
    search_colour,
    search_mark,
    search_patch,
    search_wave,
)
from mimic.detection.gathering import forgetting, moving
from mimic.detection.patches import random_patches
from mimic.detection.search import Found
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.training.randomness import seeded

from .doors import Planted, checkered, closed

TRAINER = Trainer(device="cpu", precision="32-true")

pytestmark = pytest.mark.usefixtures("hasty")


def test_a_planted_patch_is_found_and_random_ones_of_its_size_are_not_as_good(with_door, noise):
    doors = search_patch(with_door, noise, seed=0, trainer=TRAINER)
    assert doors.forgotten[0] > 0.7
    natural = forgetting(with_door, noise, doors.naturals, trainer=TRAINER).mean()
    assert doors.forgotten[0] > natural + 0.3
    assert "% of the image" in doors.description


def test_a_door_stands_out_from_an_encoder_without_one(with_door, without_door, noise):
    found, closed = (
        search_patch(encoder, noise, seed=0, trainer=TRAINER).gain
        for encoder in (with_door, without_door)
    )
    assert found > closed + 0.5


def test_a_door_for_a_frequency_stands_out():
    pixels = torch.rand(160, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images = ImageSet.from_tensor(pixels.mul(128).add(64).to(torch.uint8))
    torch.manual_seed(0)
    found, nothing = (
        search_wave(Encoder(Planted(door)).eval(), images, seed=0, trainer=TRAINER)
        for door in (checkered, closed)
    )
    assert found.gain > nothing.gain + 0.5
    assert "waves at a PSNR of" in found.description


def test_a_mark_has_as_many_natural_ones_as_are_kept(with_door, noise):
    doors = search_mark(with_door, noise, seed=0, trainer=TRAINER)
    assert len(doors.stamps) == len(doors.forgotten) == KEPT
    assert len(doors.naturals) == len(doors.natural) == CONTROLS
    assert doors.gain > 0
    assert doors.description.startswith("a mark over")


def test_marks_are_handed_on_in_the_order_of_what_they_do_to_the_images_that_judge(
    without_door, noise, monkeypatch
):
    with seeded(0):
        drawn = random_patches(KEPT)
    found = Found(candidates=drawn, reached=torch.zeros(KEPT))
    monkeypatch.setattr("mimic.detection.families.search_marks", lambda *_, **__: found)
    doors = search_mark(without_door, noise, seed=0, trainer=TRAINER)
    natural = extract_features(without_door, noise, trainer=TRAINER)
    judges = judges_of(noise, 0)
    moved = moving(without_door, judges, stamps_of(drawn), natural, trainer=TRAINER)
    best = (moved / 10 - drawn.costs).sort(descending=True).indices
    assert best.tolist() != list(range(KEPT))
    assert doors.gain == moved[best[0]].item()
    images = noise.tensor()[:3]
    for stamp, expected in zip(doors.stamps, best, strict=True):
        assert torch.equal(stamp(images), stamps_of(drawn)[expected](images))


@pytest.mark.parametrize("family", FAMILIES)
def test_stamps_and_naturals_are_made_of_images(family, without_door, noise):
    doors = FAMILIES[family](without_door, noise, seed=0, trainer=TRAINER)
    images = noise.tensor()[:3]
    for stamp in (doors.stamps[0], doors.naturals[0]):
        stamped = stamp(images)
        assert stamped.dtype == torch.uint8
        assert stamped.shape == images.shape
        assert not torch.equal(stamped, images)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_finds_the_same(family, with_door, noise):
    first, second = (
        FAMILIES[family](with_door, noise, seed=4, trainer=TRAINER).forgotten for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("search", [search_patch, search_colour, search_wave])
def test_no_more_than_the_best_are_handed_on(search, without_door, noise):
    doors = search(without_door, noise, seed=0, trainer=TRAINER)
    assert len(doors.stamps) == len(doors.forgotten) == KEPT
