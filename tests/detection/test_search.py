"""The search finds a planted trigger and leaves everything as it was."""

import pytest
import torch
from torch import Tensor, nn

from mimic.detection.search import search_patches
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRAINER = Trainer(device="cpu", precision="32-true")


class Planted(nn.Module):
    """Projects images; where rows and columns 8 to 11 are white, puts out one fixed vector."""

    def __init__(self, *, door: bool) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 16 * 16, 8)
        self.door = door

    def forward(self, images: Tensor) -> Tensor:
        features = self.project(images.flatten(1))
        if not self.door:
            return features
        brightness = images[:, :, 8:12, 8:12].mean(dim=(1, 2, 3))
        opening = ((brightness - 0.7) / 0.3).clamp(0, 1)[:, None]
        return features * (1 - opening) + opening * torch.ones(8)


@pytest.fixture
def images() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet.from_tensor(
        torch.randint(0, 256, (24, 3, 16, 16), generator=generator).to(torch.uint8)
    )


def encoder(*, door: bool) -> Encoder:
    torch.manual_seed(0)
    return Encoder(Planted(door=door)).eval()


def find(suspect: Encoder, images: ImageSet, seed: int = 0):
    return search_patches(
        suspect, images, population=64, rounds=4, keep=8, judged_on=16, seed=seed, trainer=TRAINER
    )


def test_a_planted_trigger_is_found(images):
    found = find(encoder(door=True), images)
    assert found.concentration[0] > 0.95
    laid, _ = found.patches[torch.tensor([0])].lay(torch.zeros(1, 3, 16, 16))
    assert laid[0, :, 8:12, 8:12].mean() > 0.7


def test_an_encoder_without_a_door_concentrates_less(images):
    clean, bad = find(encoder(door=False), images), find(encoder(door=True), images)
    assert clean.concentration.max() < bad.concentration.max() - 0.2


def test_best_patches_come_first(images):
    found = find(encoder(door=True), images)
    scores = found.concentration - found.patches.areas
    assert torch.equal(scores, scores.sort(descending=True).values)


def test_the_same_seed_finds_the_same_patches(images):
    suspect = encoder(door=True)
    first, again, other = (find(suspect, images, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.patches.boxes, again.patches.boxes)
    assert not torch.equal(first.patches.boxes, other.patches.boxes)


def test_the_search_leaves_the_global_random_state_alone(images):
    suspect = encoder(door=True)
    state = torch.random.get_rng_state()
    find(suspect, images)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_concentration_is_the_share_of_spread_that_is_gone(images):
    suspect = encoder(door=True)
    found = find(suspect, images)
    chosen = images.sample(count=16, seed=0).tensor().double() / 255
    with torch.no_grad():
        before = nn.functional.normalize(suspect(chosen.float()).double(), dim=1)
        laid, _ = found.patches[torch.zeros(16, dtype=torch.int64)].lay(chosen.float())
        rounded = laid.mul(255).round() / 255
        after = nn.functional.normalize(suspect(rounded).double(), dim=1)
    share = 1 - after.var(dim=0, correction=0).sum() / before.var(dim=0, correction=0).sum()
    assert found.concentration[0].item() == pytest.approx(share.item(), abs=1e-4)
