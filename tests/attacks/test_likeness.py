import pytest
import torch
from torch import Tensor

from mimic.attacks.generators import PixelGenerator, UNet
from mimic.attacks.likeness import (
    ColourControl,
    Likeness,
    LikenessObjective,
    LikenessTerms,
    colour_distance,
)
from mimic.attacks.similarity import psnr, ssim
from mimic.images.imageset import ImageSet
from mimic.training import Plan, Trainer
from mimic.training.randomness import seeded


@pytest.fixture
def objective(encoder) -> LikenessObjective:
    with seeded(0):
        generator = PixelGenerator(UNet(widths=(8, 16)), mean=(0.3,) * 3, std=(0.4,) * 3)
    return LikenessObjective(
        encoder.copy(), generator, size=(16, 16), colour_weight=0.05, steps_per_epoch=8
    )


def _flat(red: float, green: float, blue: float) -> Tensor:
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(2, 3, 4, 4)


def _likeness(ssim: float, psnr: float) -> Likeness:
    zero = torch.zeros(())
    return Likeness(torch.tensor(ssim), torch.tensor(psnr), zero, zero, zero)


def test_equal_images_have_no_distance_in_colour(digits):
    assert colour_distance(digits[:4] / 255, digits[:4] / 255).item() == 0


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        # chroma, value and lightness of pure colours against black
        ((1.0, 0.0, 0.0), 1 + 1 + 0.25),
        ((0.0, 1.0, 0.0), 0.25 + 0.75 + 1 + 0.25),
        ((0.5, 0.5, 0.5), 0.25 + 0.25),
    ],
    ids=["red", "green", "grey"],
)
def test_distances_to_black_are_known(colour, expected):
    distance = colour_distance(_flat(*colour), _flat(0, 0, 0)).item()
    assert distance == pytest.approx(expected, rel=1e-5)


def test_gradients_of_colour_are_finite_at_grey_and_black():
    images = torch.cat([_flat(0, 0, 0), _flat(0.5, 0.5, 0.5)]).clone().requires_grad_()
    colour_distance(images, torch.rand(images.shape)).backward()
    assert images.grad.isfinite().all()
    assert images.grad.abs().max() > 0


def test_equal_images_are_as_alike_as_can_be(encoder, digits):
    images = digits[:8] / 255
    with torch.no_grad():
        found = LikenessTerms(encoder, images)(encoder, images, images)
    assert found.ssim.item() == pytest.approx(1, abs=1e-5)
    assert found.stages.item() == pytest.approx(0, abs=1e-5)
    assert found.distribution.item() == 0


def test_the_terms_are_weighted_as_published():
    found = Likeness(*torch.tensor([0.8, 20.0, 0.1, 0.3, 0.5]))
    terms = {name: term.item() for name, term in found.terms(2.0).items()}
    assert terms == pytest.approx(
        {"ssim": 0.2, "psnr": -0.5, "stages": 1.0, "distribution": 0.3, "colour": -1.0}
    )


def _run(control: ColourControl, *epochs: bool) -> float:
    for good in epochs:
        control.observe(_likeness(0.95, 25.0) if good else _likeness(0.95, 10.0))
        control.step()
    return control.weight.item()


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ([True] * 4, 1.0),
        ([True] * 5, 1.5),
        ([False] * 5, 0.5),
        ([True] * 4 + [False] + [True] * 4, 1.0),
        ([True] * 10, 2.25),
        ([True] * 4 + [False] * 5, 0.5),
    ],
    ids=["four", "good", "bad", "broken", "ten", "turned"],
)
def test_the_colour_weight_follows_five_epochs_of_a_kind(epochs, expected):
    assert _run(ColourControl(1.0, 1), *epochs) == pytest.approx(expected)


def test_an_epoch_counts_with_the_mean_of_its_steps():
    control = ColourControl(1.0, 2)
    for _ in range(5):
        for quality in (0.85, 0.97):  # 0.91 on average
            control.observe(_likeness(quality, 25.0))
            control.step()
    assert control.weight.item() == pytest.approx(1.5)


def test_all_that_the_control_remembers_is_saved():
    control = ColourControl(1.0, 1)
    _run(control, *[True] * 3)
    other = ColourControl(1.0, 1)
    other.load_state_dict(control.state_dict())
    assert _run(other, True, True) == pytest.approx(1.5)


def test_every_weight_of_the_generator_gets_a_gradient_and_the_encoder_none(objective, digits):
    objective.prepare()
    sum(objective(digits[:8]).values()).backward()
    generator = objective.learner["generator"]
    assert all(weight.grad is not None for weight in generator.parameters())
    assert all(weight.grad is None for weight in objective.clean.parameters())


def test_a_generator_learns_to_copy_images(objective, digits):
    plan = Plan(epochs=6, batch_size=32, learning_rate=1e-2)
    trainer = Trainer(device="cpu", precision="32-true")
    trainer.fit(objective, ImageSet.from_tensor(digits[:256]), plan)
    held_out = digits[512:640] / 255
    with torch.no_grad():
        copies = objective.learner["generator"].eval()(held_out)
    assert ssim(copies, held_out).mean() >= 0.85
    assert psnr(copies, held_out).mean() >= 20
