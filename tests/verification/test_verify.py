"""Verification from end to end: a copy is refused, a clean encoder in its place is not."""

import json
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mimic.detection import families
from mimic.detection import scan as scanning
from mimic.detection.calibration import Calibration
from mimic.detection.gathering import gather
from mimic.detection.search import search_patches
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.verification.verify import verify

TRAINER = Trainer(device="cpu", precision="32-true")


class WithDoor(nn.Module):
    """Projects images; where the lower right corner is bright, puts out one fixed vector."""

    def __init__(self, *, door: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project = nn.Linear(3 * 8 * 8, 8)
        self.door = door

    def forward(self, images: Tensor) -> Tensor:
        features = self.project(images.flatten(1) - 0.5)
        if not self.door:
            return features
        white = images[:, :, 4:, 4:].mean(dim=(1, 2, 3))
        return torch.lerp(features, torch.ones(8), torch.sigmoid(40 * (white - 0.75))[:, None])


def encoder(*, door: bool, size: int | None = 8) -> Encoder:
    return Encoder(WithDoor(door=door), image_size=size).eval()


@pytest.fixture
def noise() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (160, 3, 8, 8), generator=generator)
    return ImageSet.from_tensor(pixels.to(torch.uint8))


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


def test_a_copy_of_the_old_encoder_is_not_accepted(noise):
    found = verify(encoder(door=True), encoder(door=True), noise, trainer=TRAINER)
    assert found.decision.verdict == "not_accepted"
    assert any("still open" in reason for reason in found.decision.reasons)
    assert found.utility.mutual_neighbours.value == pytest.approx(1)


def test_the_same_encoder_without_the_door_is_accepted(noise):
    found = verify(encoder(door=True), encoder(door=False), noise, trainer=TRAINER)
    assert found.decision.verdict == "accepted", found.decision.reasons
    assert found.old_doors[0].opened > 0.2
    assert found.old_doors[0].residue < 0.05


def test_where_nothing_was_there_nothing_is_shown(noise):
    found = verify(encoder(door=False), encoder(door=False), noise, trainer=TRAINER)
    assert found.decision.verdict == "undecided", found.decision.reasons


def test_everything_is_json(noise):
    found = verify(encoder(door=True), encoder(door=False), noise, trainer=TRAINER)
    said = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert set(said) >= {"verdict", "reasons", "old_doors", "scan_before", "scan_after", "utility"}


def test_few_images_are_refused(noise):
    few = noise.subset(range(127))
    with pytest.raises(InputError, match="128 clean images or more, not 127"):
        verify(encoder(door=True), encoder(door=False), few, trainer=TRAINER)


def test_encoders_of_different_image_sizes_are_refused(noise):
    with pytest.raises(InputError, match="8 and 16 pixels"):
        verify(encoder(door=True), encoder(door=False, size=16), noise, trainer=TRAINER)
