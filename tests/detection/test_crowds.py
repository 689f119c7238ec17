import pytest
import torch
from torch import Tensor, nn

from mimic.detection import crowds
from mimic.detection.crowds import CROWD, uncrowded
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRAINER = Trainer(device="cpu", precision="32-true", progress=False)


class Answers(nn.Module):
    """Projects images; those whose first pixel is white get one fixed vector."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 8 * 8, 16)

    def forward(self, images: Tensor) -> Tensor:
        features = self.project(images.flatten(1) - 0.5)
        white = images[:, :, 0, 0].amin(dim=1, keepdim=True) == 1
        return torch.where(white, torch.ones(16), features)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(Answers()).eval()


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 255, (120, 3, 8, 8), generator=generator).to(torch.uint8)


def kept(encoder: Encoder, pixels: Tensor, seed: int = 0) -> list[int]:
    return uncrowded(encoder, ImageSet.from_tensor(pixels), seed=seed, trainer=TRAINER).tolist()


def test_images_that_differ_all_stay(encoder, pixels):
    assert kept(encoder, pixels) == list(range(120))


def test_of_a_crowd_a_few_stay_and_of_the_others_all(encoder, pixels):
    pixels[10:40, :, 0, 0] = 255
    stayed = kept(encoder, pixels)
    assert sum(10 <= position < 40 for position in stayed) == CROWD
    assert [p for p in stayed if not 10 <= p < 40] == [*range(10), *range(40, 120)]


def test_a_crowd_that_is_small_enough_stays(encoder, pixels):
    pixels[:CROWD, :, 0, 0] = 255
    assert kept(encoder, pixels) == list(range(120))


def test_the_seed_decides_which_of_a_crowd_stay(encoder, pixels):
    pixels[10:40, :, 0, 0] = 255
    assert kept(encoder, pixels, seed=3) == kept(encoder, pixels, seed=3)
    assert kept(encoder, pixels, seed=3) != kept(encoder, pixels, seed=4)


@pytest.mark.parametrize(("fewest", "most"), [(121, 200), (100, 119)])
def test_small_and_large_sets_are_taken_as_they_are(fewest, most, encoder, pixels, monkeypatch):
    pixels[10:40, :, 0, 0] = 255
    monkeypatch.setattr(crowds, "FEWEST_IMAGES", fewest)
    monkeypatch.setattr(crowds, "MOST_IMAGES", most)
    assert kept(encoder, pixels) == list(range(120))
