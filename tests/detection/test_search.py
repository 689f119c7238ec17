"""The search finds a planted trigger and leaves everything as it was."""

import pytest
import torch
from torch import nn

from mimic.detection.search import (
    search_colours,
    search_marks,
    search_patches,
    search_waves,
)
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

from .doors import Planted, checkered, closed, plane, white

TRAINER = Trainer(device="cpu", precision="32-true")


@pytest.fixture
def images() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet.from_tensor(
        torch.randint(0, 256, (24, 3, 16, 16), generator=generator).to(torch.uint8)
    )


def encoder(*, door: bool) -> Encoder:
    torch.manual_seed(0)
    return Encoder(Planted(white if door else closed)).eval()


def find(suspect: Encoder, images: ImageSet, seed: int = 0):
    return search_patches(
        suspect, images, population=64, rounds=4, keep=8, judged_on=16, seed=seed, trainer=TRAINER
    )


def test_a_planted_trigger_is_found(images):
    found = find(encoder(door=True), images)
    assert found.reached[0] > 0.95
    laid, _ = found.candidates[torch.tensor([0])].lay(torch.zeros(1, 3, 16, 16))
    assert laid[0, :, 8:12, 8:12].mean() > 0.7


def test_an_encoder_without_a_door_concentrates_less(images):
    clean, bad = find(encoder(door=False), images), find(encoder(door=True), images)
    assert clean.reached.max() < bad.reached.max() - 0.2


def test_best_patches_come_first(images):
    found = find(encoder(door=True), images)
    scores = found.reached - found.candidates.costs
    assert torch.equal(scores, scores.sort(descending=True).values)


def test_the_same_seed_finds_the_same_patches(images):
    suspect = encoder(door=True)
    first, again, other = (find(suspect, images, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.candidates.boxes, again.candidates.boxes)
    assert not torch.equal(first.candidates.boxes, other.candidates.boxes)


def test_the_search_leaves_the_global_random_state_alone(images):
    suspect = encoder(door=True)
    state = torch.random.get_rng_state()
    find(suspect, images)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_is_forgotten_is_one_minus_the_slope_of_changed_on_plain_features(images):
    suspect = encoder(door=True)
    found = find(suspect, images)
    chosen = images.sample(count=16, seed=0).tensor().double() / 255
    with torch.no_grad():
        before = nn.functional.normalize(suspect(chosen.float()).double(), dim=1)
        laid, _ = found.candidates[torch.zeros(16, dtype=torch.int64)].lay(chosen.float())
        rounded = laid.mul(255).round() / 255
        after = nn.functional.normalize(suspect(rounded).double(), dim=1)
    before, after = before - before.mean(dim=0), after - after.mean(dim=0)
    share = 1 - (before * after).sum() / before.square().sum()
    assert found.reached[0].item() == pytest.approx(share.item(), abs=1e-4)


def find_colours(images: ImageSet, *, door: bool):
    torch.manual_seed(0)
    suspect = Encoder(Planted(plane if door else closed)).eval()
    return search_colours(suspect, images, population=128, rounds=6, keep=8, trainer=TRAINER)


def test_a_door_for_colours_is_found():
    base = torch.rand(24, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    tint = 0.15 * torch.randn(24, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    pixels = (0.25 + 0.5 * base + tint).clamp(0, 1).mul(255).to(torch.uint8)
    images = ImageSet.from_tensor(pixels)
    bad, clean = (find_colours(images, door=door) for door in (True, False))
    assert bad.reached[0] > 0.9
    assert clean.reached.max() < bad.reached.max() - 0.2
    scores = bad.reached - bad.candidates.costs
    assert torch.equal(scores, scores.sort(descending=True).values)


def test_a_door_for_a_frequency_is_found():
    pixels = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images = ImageSet.from_tensor(pixels.mul(128).add(64).to(torch.uint8))
    torch.manual_seed(0)
    bad, clean = (Encoder(Planted(door)).eval() for door in (checkered, closed))
    found, nothing = (
        search_waves(one, images, population=128, rounds=6, keep=8, trainer=TRAINER)
        for one in (bad, clean)
    )
    assert found.reached[0] > 0.9
    assert nothing.reached.max() < found.reached[0] - 0.2
    assert found.candidates.rates[0].amax(dim=1).max() > 0.8


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_images_are_searched_with_too(count, images):
    suspect = encoder(door=True)
    few = images.subset(range(count))
    found = search_patches(suspect, few, population=32, rounds=2, keep=4, trainer=TRAINER)
    assert bool(found.reached.isfinite().all())


@pytest.mark.parametrize("keep", [8, 32])
def test_what_is_handed_on_was_looked_at_on_all_images(images, keep):
    found = search_patches(
        encoder(door=True),
        images,
        population=32,
        rounds=2,
        keep=keep,
        judged_on=16,
        trainer=TRAINER,
    )
    assert bool(found.reached.isfinite().all())
    assert len(found.candidates) == keep


def test_looking_at_a_few_images_first_changes_the_find_but_little(images, monkeypatch):
    raced = find(encoder(door=True), images).reached[0]
    monkeypatch.setattr("mimic.detection.search._PASSED", 1)
    assert float(raced) == pytest.approx(
        float(find(encoder(door=True), images).reached[0]), abs=0.05
    )


class Marked(nn.Module):
    """Looks at a coarse picture; a white corner has a feature of its own, and hides nothing."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        corner = images[:, :, 8:12, 8:12].mean(dim=(1, 2, 3))
        mark = self.strength * (corner - 0.6).clamp_min(0)
        seen = nn.functional.avg_pool2d(images, 4).flatten(1) - 0.5
        return torch.cat([seen, mark[:, None]], dim=1)


def test_a_mark_that_hides_nothing_is_found():
    coarse = torch.rand(24, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = ImageSet.from_tensor(
        coarse.mul(180).repeat_interleave(4, 2).repeat_interleave(4, 3).to(torch.uint8)
    )
    marks = {
        strength: search_marks(
            Encoder(Marked(strength)).eval(),
            images,
            population=64,
            rounds=4,
            keep=8,
            judged_on=16,
            trainer=TRAINER,
        )
        for strength in (0.0, 20.0)
    }
    found = marks[20.0]
    assert found.reached[0] > 2 * marks[0.0].reached[0]
    laid, _ = found.candidates[torch.tensor([0])].lay(torch.zeros(1, 3, 16, 16))
    assert laid[0, :, 8:12, 8:12].mean() > 0.7
