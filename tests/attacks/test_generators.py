import pytest
import torch
from torch import Tensor, nn

from mimic.attacks.generators import PixelGenerator, ResNetGenerator, UNet
from mimic.errors import InputError
from mimic.training.randomness import seeded

MAKERS = {
    "unet": lambda: UNet(widths=(4, 8, 16)),
    "resnet": lambda: ResNetGenerator(width=4, blocks=1),
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def network(request) -> nn.Module:
    with seeded(0):
        return request.param()


@pytest.fixture
def images(digits) -> Tensor:
    return digits[:8] / 255


class _Constant(nn.Module):
    """Draws one value everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, images: Tensor) -> Tensor:
        return self.value.expand_as(images)


@pytest.mark.parametrize("size", [(16, 16), (32, 24), (17, 13), (5, 6)], ids=str)
def test_images_of_any_size_keep_it(network, size):
    assert network.eval()(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_the_unet_of_the_paper_takes_images_below_its_sixteen_pixels():
    assert UNet().eval()(torch.rand(1, 3, 7, 9)).shape == (1, 3, 7, 9)


def test_every_weight_gets_a_gradient(network, images):
    generator = PixelGenerator(network, budget=8 / 255)
    weights = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    (generator(images) * weights).sum().backward()
    assert all(weight.grad is not None for weight in generator.parameters())
    last = list(network.parameters())[-2]
    assert last.grad.abs().max() > 0


def test_the_resnet_refuses_images_too_small_to_reflect():
    with pytest.raises(InputError, match="5 pixels or more, not 4x8"):
        ResNetGenerator(width=4, blocks=1)(torch.rand(1, 3, 4, 8))


def test_the_resnet_draws_in_the_unit_range(images):
    drawn = ResNetGenerator(width=4, blocks=1)(images)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_changes_never_exceed_the_budget(network, images):
    drawn = PixelGenerator(network, budget=8 / 255)(images)
    change = (drawn.double() - images.double()).abs().max()
    assert change <= 8 / 255 + torch.finfo(torch.float32).eps


def test_without_a_budget_the_network_is_only_clamped(images):
    drawn = PixelGenerator(_Constant(1.5))(images)
    assert torch.equal(drawn, torch.ones_like(images))


def test_the_network_works_on_normalised_images(images):
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x

    drawn = PixelGenerator(Watching(), mean=mean, std=std)(images)
    expected = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(seen[0], expected)
    assert torch.allclose(drawn, images, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"budget": 0.01}], ids=["clamped", "budget"])
def test_gradients_pass_the_limits(images, settings):
    network = _Constant(-2.0)
    PixelGenerator(network, **settings)(images).sum().backward()
    assert network.value.grad.item() == images.numel()


def test_the_precision_around_it_makes_no_difference(network, images):
    generator = PixelGenerator(network).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = generator(images)
    assert torch.equal(inside, generator(images))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0.0}, "budget"),
        ({"budget": 1.5}, "budget"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be positive"),
        ({"mean": (0.0,)}, "three values"),
    ],
    ids=str,
)
def test_limits_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        PixelGenerator(UNet(), **settings)
