import math

import pytest
import torch
from torch import nn

from mimic.encoders.encoder import Encoder
from mimic.evaluation.familiarity import LIMIT, Familiarity, compare_statistics, squared_hellinger
from mimic.evaluation.moments import Moments
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRAINER = Trainer(device="cpu", precision="32-true")


def moments(mean: float, variance: float) -> Moments:
    of = [torch.tensor([value], dtype=torch.float64) for value in (mean, variance)]
    return Moments(count=9, mean=of[0], variance=of[1])


def smooth(count: int, seed: int) -> ImageSet:
    """Images of soft blobs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 3, 3, generator=generator)
    images = nn.functional.interpolate(coarse, size=(12, 12), mode="bilinear")
    return ImageSet.from_tensor((images * 255).to(torch.uint8))


def encoder(norm: nn.Module) -> Encoder:
    torch.manual_seed(0)
    return Encoder(
        nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1)), stages=["0"]
    )


def trained_on(images: ImageSet) -> Encoder:
    """An encoder whose running statistics are exactly those of the images."""
    made = encoder(nn.BatchNorm2d(8, momentum=None)).train()
    with torch.no_grad():
        made(images.tensor())
    return made.eval()


def test_distance_of_a_distribution_from_itself_is_zero():
    assert squared_hellinger(moments(3, 2), moments(3, 2)).item() == 0


@pytest.mark.parametrize(("one", "other"), [((0, 1), (2, 1)), ((0, 1), (1, 9)), ((-1, 4), (5, 1))])
def test_distance_is_the_integral_that_defines_it(one, other):
    grid = torch.linspace(-60, 60, 400_001, dtype=torch.float64)

    def density(mean: float, variance: float) -> torch.Tensor:
        return (-((grid - mean) ** 2) / (2 * variance)).exp() / math.sqrt(2 * math.pi * variance)

    gap = (density(*one).sqrt() - density(*other).sqrt()) ** 2
    exact = 0.5 * torch.trapezoid(gap, grid).item()
    found = squared_hellinger(moments(*one), moments(*other)).item()
    assert found == pytest.approx(exact, abs=1e-9)


def test_images_of_the_training_are_at_distance_zero():
    images = smooth(64, seed=0)
    found = compare_statistics(trained_on(images), images, trainer=TRAINER)
    # Running variances are of a sample, hence not exactly.
    assert found.distance == pytest.approx(0, abs=1e-6)


def test_other_images_of_the_same_kind_are_not_unlike():
    found = compare_statistics(trained_on(smooth(64, seed=0)), smooth(64, seed=1), trainer=TRAINER)
    assert not found.unlike


def test_images_of_another_kind_are_unlike():
    noise = torch.randint(0, 256, (64, 3, 12, 12), generator=torch.Generator().manual_seed(5))
    images = ImageSet.from_tensor(noise.to(torch.uint8))
    found = compare_statistics(trained_on(smooth(64, seed=0)), images, trainer=TRAINER)
    assert found.unlike
    assert found.distance == pytest.approx(found.noise_distance, rel=0.05)


@pytest.mark.parametrize(("distance", "unlike"), [(0.99, False), (1.01, True)])
def test_limit_is_a_share_of_the_distance_of_noise(distance, unlike):
    found = Familiarity(distance=distance * LIMIT * 0.2, noise_distance=0.2, layers=1, images=1)
    assert found.unlike is unlike


@pytest.mark.parametrize(
    "norm",
    [
        nn.GroupNorm(2, 8),
        nn.BatchNorm2d(8),
        nn.BatchNorm2d(8, track_running_stats=False),
        nn.Identity(),
    ],
    ids=["group", "fresh", "untracked", "none"],
)
def test_encoders_without_statistics_of_a_training_cannot_tell(norm):
    assert compare_statistics(encoder(norm), smooth(8, seed=0), trainer=TRAINER) is None


def test_norms_that_no_image_passes_are_left_out():
    made = trained_on(smooth(8, seed=0))
    made.backbone.unused = nn.BatchNorm2d(4)
    made.backbone.unused.running_mean.fill_(3)
    made.backbone.forward = lambda images: nn.Sequential(*list(made.backbone)[:4])(images)
    assert compare_statistics(made, smooth(8, seed=0), trainer=TRAINER).layers == 1


def test_encoder_is_left_as_it_was():
    made = trained_on(smooth(8, seed=0))
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    compare_statistics(made, smooth(8, seed=1), trainer=TRAINER)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())
    assert not any(module._forward_pre_hooks for module in made.modules())
