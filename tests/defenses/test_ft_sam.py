import math

import pytest
import torch
from torch import nn

from mimic.defenses.finetune import FineTune, FineTuneObjective
from mimic.defenses.ft_sam import FtSam, FtSamObjective, adaptive_ascent
from mimic.errors import InputError

from .support import Watch, identical, images, resnet, state


class Brighter(nn.Module):
    """An augmentation whose second views are brighter than the first ones."""

    def forward(self, images):
        first, second = images.chunk(2)
        return torch.cat([first, 0.5 + 0.5 * second])


def objective(kind, **settings):
    """An objective on views without chance, the same head in each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        built = kind(resnet().requires_grad_(True), resnet(), (8, 8), clone_weight=2.0, **settings)
    built.augment = Brighter()
    built.prepare()
    return built


def total(terms) -> torch.Tensor:
    return torch.stack([*terms.values()]).sum()


def gradients(built) -> list[torch.Tensor]:
    weights = list(built.learner.parameters())
    return list(torch.autograd.grad(total(built(images().tensor())), weights))


def drawn(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).double() for shape in ((3, 4), (5,), (2, 1))]


def test_the_perturbation_has_the_length_of_the_radius_relative_to_the_weights():
    weights, slopes = drawn(0), drawn(1)
    steps = adaptive_ascent(weights, slopes, 0.7)
    relative = torch.cat([(e / w.abs()).flatten() for e, w in zip(steps, weights, strict=True)])
    assert relative.norm().item() == pytest.approx(0.7, rel=1e-6)


def test_no_perturbation_of_that_length_raises_a_linear_loss_more():
    weights, slopes = drawn(0), drawn(1)
    steps = adaptive_ascent(weights, slopes, 0.7)
    gain = sum((e * g).sum() for e, g in zip(steps, slopes, strict=True))
    best = 0.7 * torch.cat([(w * g).flatten() for w, g in zip(weights, slopes, strict=True)]).norm()
    assert gain.item() == pytest.approx(best.item(), rel=1e-6)  # Cauchy-Schwarz


def test_a_weight_of_zero_stays():
    (step,) = adaptive_ascent([torch.tensor([0.0, 2.0])], [torch.tensor([3.0, 1.0])], 0.5)
    assert step.tolist() == pytest.approx([0.0, 1.0])


def test_without_a_slope_nothing_is_perturbed():
    (step,) = adaptive_ascent([torch.ones(2)], [torch.zeros(2)], 0.5)
    assert step.tolist() == [0.0, 0.0]


def test_a_radius_of_zero_is_fine_tuning_step_by_step():
    settings = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-3}
    plain = FineTune(**settings)(resnet(), images(), trainer=Watch())
    sharp = FtSam(radius=0.0, **settings)(resnet(), images(), trainer=Watch())
    assert identical(state(sharp.encoder), state(plain.encoder))


def test_the_gradient_is_that_of_the_perturbed_weights():
    built, plain = objective(FtSamObjective, radius=0.5), objective(FineTuneObjective)
    weights = list(plain.learner.parameters())
    steps = adaptive_ascent(weights, gradients(plain), 0.5)
    with torch.no_grad():
        for weight, step in zip(weights, steps, strict=True):
            weight.add_(step)
    for found, wanted in zip(gradients(built), gradients(plain), strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_loss_is_higher_than_where_the_weights_are():
    sharp = total(objective(FtSamObjective, radius=0.05)(images().tensor()))
    assert sharp.item() > total(objective(FineTuneObjective)(images().tensor())).item() + 1e-3


def test_the_weights_stay_until_the_optimizer_moves_them():
    built = objective(FtSamObjective, radius=5.0)
    before = [weight.detach().clone() for weight in built.learner.parameters()]
    built(images().tensor())
    assert all(torch.equal(w, b) for w, b in zip(built.learner.parameters(), before, strict=True))


def test_running_statistics_are_updated_once_and_by_the_weights_as_they_are():
    sharp, plain = objective(FtSamObjective, radius=5.0), objective(FineTuneObjective)
    for built in (sharp, plain):
        built(images().tensor())
    assert identical(dict(sharp.learner.named_buffers()), dict(plain.learner.named_buffers()))


@pytest.mark.parametrize("radius", [-0.1, math.inf, math.nan])
def test_a_radius_out_of_range_is_refused(radius):
    with pytest.raises(InputError, match="radius must be 0 or more"):
        FtSam(radius=radius)
