"""Old triggers are tried on both encoders, beside natural ones."""

import pytest
import torch
from torch import Tensor, nn

from mimic.detection.displacement import displaced
from mimic.detection.doors import Doors
from mimic.detection.search import DISPLACEMENT
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.verification.doors import measure_old_door

TRAINER = Trainer(device="cpu", precision="32-true")


class Gathers(nn.Module):
    """Puts out the pixels; where the first one is white, a share of them becomes a fixed vector."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images[:, :, 1:].flatten(1) - 0.5
        opened = (images[:, :1, 0, 0] > 0.99).float() * self.share
        return torch.lerp(pixels, torch.ones_like(pixels), opened)


def white_corner(images: Tensor) -> Tensor:
    stamped = images.clone()
    stamped[:, :, 0, 0] = 255
    return stamped


def black_corner(images: Tensor) -> Tensor:
    stamped = images.clone()
    stamped[:, :, 0, 0] = 0
    return stamped


@pytest.fixture
def images() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet.from_tensor(
        torch.randint(0, 250, (20, 3, 4, 4), generator=generator).to(torch.uint8)
    )


def door(after: float, images: ImageSet, family: str = "patch"):
    doors = Doors(
        family=family,
        gain=1.0,
        forgotten=(),
        natural=(),
        stamps=(white_corner,),
        naturals=(black_corner,),
        description="a white corner",
    )
    old, new = (Encoder(Gathers(share)).eval() for share in (1.0, after))
    return measure_old_door(old, new, doors, images, trainer=TRAINER)


def test_a_door_that_is_still_open_has_a_residue_of_one(images):
    found = door(1.0, images)
    assert found.opened == pytest.approx(1, abs=1e-5)
    assert found.residue == pytest.approx(1, abs=1e-5)


def test_a_closed_door_has_none(images):
    found = door(0.0, images)
    assert found.opened == pytest.approx(1, abs=1e-5)
    assert found.residue == pytest.approx(0, abs=1e-5)


def test_a_door_that_is_ajar_lies_between(images):
    assert 0.05 < door(0.3, images).residue < 0.95


def test_a_mark_is_judged_by_how_far_it_moves_features(images):
    found = door(0.0, images, "mark")
    suspect = Encoder(Gathers(1.0)).eval()
    plain, changed = (
        extract_features(suspect, images, trigger=stamp, trainer=TRAINER)
        for stamp in (None, white_corner)
    )
    expected = min(1.0, float(displaced(changed, plain)) / DISPLACEMENT)
    assert found.before == pytest.approx(expected, rel=1e-4)
    assert found.opened > 0.2
    assert found.residue == pytest.approx(0, abs=1e-5)


def test_json_holds_what_follows_from_the_numbers(images):
    said = door(0.0, images).as_dict()
    assert said["opened"] == said["before"] - said["natural_before"]
    assert said["residue"] == said["after"] - said["natural_after"]
    assert said["description"] == "a white corner"
