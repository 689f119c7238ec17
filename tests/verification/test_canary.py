"""The canary: what is left of a backdoor that we implant ourselves."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from mimic.attacks.badencoder import BadEncoder
from mimic.attacks.base import Attacked
from mimic.defenses import Defense, Purification
from mimic.encoders.encoder import Encoder
from mimic.errors import NonFiniteLossError
from mimic.evaluation.features import extract_features
from mimic.training import History, Trainer
from mimic.verification.canary import Canary, Pull, measure_canary, random_patch

TRAINER = Trainer(device="cpu", precision="32-true")


class Leads(nn.Module):
    """Random features; `way` of the way to that of a reference where a trigger is on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 8 * 8, 32)
        self.way = 0.0
        self.trigger = self.reference = None

    def forward(self, images: Tensor) -> Tensor:
        features = self.project(images.flatten(1) - 0.5)
        if self.trigger is None:
            return features
        opened = (self.trigger(images) == images).flatten(1).all(dim=1, keepdim=True)
        wanted = self.project(self.reference.float().flatten(1) / 255 - 0.5)
        return torch.lerp(features, wanted, opened * self.way)


@dataclass(frozen=True, kw_only=True)
class Leaves(Defense):
    """Leaves a share of the backdoor."""

    way: float

    def run(self, suspect, images, trainer):
        suspect.backbone.way = self.way
        return Purification(encoder=suspect, history=History())


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(Leads(), image_size=8).eval()


@pytest.fixture
def implant(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack that needs no training."""

    def run(self, encoder, images, trainer):
        encoder.backbone.trigger, encoder.backbone.reference = self.trigger, self.references
        encoder.backbone.way = 1.0
        return Attacked(encoder=encoder, triggers=self.triggers)

    monkeypatch.setattr(BadEncoder, "run", run)


def measured(encoder: Encoder, noise, way: float, seed: int = 0) -> Canary:
    return measure_canary(encoder, Leaves(way=way), noise, seed=seed, trainer=TRAINER)


@pytest.mark.usefixtures("implant")
def test_a_backdoor_that_is_left_alone_survives_whole(encoder, noise):
    found = measured(encoder, noise, 1.0)
    assert found.took
    assert found.implanted.triggered == pytest.approx(1, abs=1e-5)
    assert found.surviving == pytest.approx(1)


@pytest.mark.usefixtures("implant")
def test_nothing_survives_a_purification_that_removes_it(encoder, noise):
    found = measured(encoder, noise, 0.0)
    assert found.purified == found.untouched
    assert abs(found.surviving) < 0.2


@pytest.mark.usefixtures("implant")
def test_the_encoder_is_left_as_it_was(encoder, noise):
    measured(encoder, noise, 1.0)
    assert encoder.backbone.trigger is None


@pytest.mark.usefixtures("implant")
def test_one_fifth_of_the_images_only_judges(encoder, noise, monkeypatch):
    implant, purify = BadEncoder.run, Leaves.run
    used, judges = [], []

    def implanted(self, encoder, images, trainer):
        used.append(set(images.indices.tolist()))
        return implant(self, encoder, images, trainer)

    def purified(self, suspect, images, trainer):
        used.append(set(images.indices.tolist()))
        return purify(self, suspect, images, trainer)

    def extracted(subject, images, **settings):
        if len(images) > 1:  # else it is the reference
            judges.append(set(images.indices.tolist()))
        return extract_features(subject, images, **settings)

    monkeypatch.setattr(BadEncoder, "run", implanted)
    monkeypatch.setattr(Leaves, "run", purified)
    monkeypatch.setattr("mimic.verification.canary.extract_features", extracted)
    assert measured(encoder, noise, 1.0).images == 128
    assert [len(one) for one in used] == [128, 128]
    assert {len(one) for one in judges} == {32}
    assert all(one.isdisjoint(other) for one in used for other in judges)


@pytest.mark.parametrize("broken", [True, False])
def test_an_implant_that_fails_is_not_purified(encoder, noise, monkeypatch, broken):
    def run(self, encoder, images, trainer):
        if broken:
            raise NonFiniteLossError("the loss is NaN")
        return Attacked(encoder=encoder, triggers=self.triggers)

    monkeypatch.setattr(BadEncoder, "run", run)
    monkeypatch.setattr(Leaves, "run", None)
    found = measured(encoder, noise, 1.0)
    assert (found.took, found.purified, found.surviving) == (False, None, 0)
    assert found.implanted == found.untouched


def test_badencoder_implants_it_for_real(noise):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 16))
    found = measure_canary(
        Encoder(layers, image_size=8).eval(), Leaves(way=1.0), noise, seed=0, trainer=TRAINER
    )
    assert found.implanted.strength > 0.9
    assert found.untouched.strength < 0.3
    assert found.surviving == pytest.approx(1)


def test_the_strength_is_the_share_of_the_way():
    assert Pull(triggered=0.7, plain=0.4).strength == pytest.approx(0.5)
    assert Pull(triggered=0.4, plain=0.4).strength == 0
    assert math.isfinite(Pull(triggered=1.0, plain=1.0).strength)


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (20, 48), (1, 1)])
def test_a_random_patch_fits_on_the_image(size):
    images = torch.zeros(1, 3, *size, dtype=torch.uint8)
    for seed in range(20):
        patch = random_patch(size, torch.Generator().manual_seed(seed))
        covered = int((patch(images) != images).any(dim=1).sum())
        assert 1 <= covered <= max(1, round(0.35 * min(size))) ** 2


def test_another_seed_is_another_patch():
    patches = [random_patch((32, 32), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert patches[0] == patches[1]
    assert patches[0] != patches[2]


@pytest.mark.usefixtures("implant")
def test_everything_is_json(encoder, noise):
    said = measured(encoder, noise, 1.0).as_dict()
    assert set(said) == {
        *("trigger", "untouched", "implanted", "purified", "images", "seconds"),
        *("took", "surviving"),
    }
    assert set(said["implanted"]) == {"triggered", "plain"}
