import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from mimic.defenses.i_bau import IBau, UnlearningObjective, implicit_term, inner_terms
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.losses import clone_loss

from .support import Watch, images, resnet, state


class Toy:
    """Inner loss d'Ad/2 - d'Bw, smallest at d = A^-1 Bw; outer loss |d - c|^2/2 + |w|^2/2."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def draw(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        basis = torch.linalg.qr(draw(4, 4)).Q
        curvatures = torch.linspace(1, 3, 4, dtype=torch.float64)
        self.a = basis @ curvatures.diag() @ basis.T
        self.b, self.c = draw(4, 3), draw(4)
        self.weights = draw(3).requires_grad_()
        self.best = torch.linalg.solve(self.a, self.b @ self.weights.detach())

    def inner(self, d):
        return d @ self.a @ d / 2 - d @ self.b @ self.weights

    def found(self, steps: int) -> torch.Tensor:
        term = implicit_term(self.inner, self.best, self.best - self.c, rate=0.4, steps=steps)
        loss = (self.best - self.c).square().sum() / 2 + self.weights.square().sum() / 2 + term
        return torch.autograd.grad(loss, self.weights)[0]

    def exact(self) -> torch.Tensor:
        """By moving the minimum with the weights."""
        weights = self.weights.detach().requires_grad_()
        best = torch.linalg.solve(self.a, self.b @ weights)
        loss = (best - self.c).square().sum() / 2 + weights.square().sum() / 2
        return torch.autograd.grad(loss, weights)[0]


def relative_error(steps: int) -> float:
    toy = Toy()
    return ((toy.found(steps) - toy.exact()).norm() / toy.exact().norm()).item()


def test_fifty_steps_give_the_exact_hypergradient_of_a_quadratic_problem():
    assert relative_error(50) < 1e-3


def test_more_steps_come_closer():
    errors = [relative_error(steps) for steps in (0, 1, 5, 15)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1


def test_the_implicit_term_has_no_value():
    toy = Toy()
    assert implicit_term(toy.inner, toy.best, toy.c, rate=0.4, steps=5).item() == 0.0


def perturbation(scale: float = 0.05) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return scale * torch.randn(1, 3, 8, 8, generator=generator)


def objective(suspect: Encoder | None = None, **settings) -> UnlearningObjective:
    suspect = suspect or resnet()
    chosen = {"penalty": 1e-3, "implicit": True, "rate": 0.01, "steps": 5} | settings
    built = UnlearningObjective(
        suspect.copy(), suspect, perturbation(), images(8).tensor(), **chosen
    )
    built.prepare()
    return built


def gradients(terms, built) -> list[torch.Tensor]:
    loss = torch.stack([*terms.values()]).sum()
    return list(torch.autograd.grad(loss, list(built.learner.parameters())))


def test_the_terms_are_those_of_the_formula():
    built = objective()
    with torch.no_grad():
        for weight in built.learner.parameters():
            weight.mul_(1.05)
    batch = images().tensor() / 255
    wanted = built.teacher(batch)
    terms = built(batch)
    torch.testing.assert_close(
        terms["adversarial"], clone_loss(built.learner(batch + perturbation()), wanted)
    )
    torch.testing.assert_close(terms["clone"], clone_loss(built.learner(batch), wanted))
    assert terms["implicit"].item() == 0


def test_the_implicit_term_can_be_left_out():
    assert set(objective(implicit=False)(images().tensor())) == {"adversarial", "clone"}


def test_the_implicit_term_adds_to_the_gradient_and_vanishes_with_its_rate():
    batch = images().tensor()
    plain = gradients((built := objective(implicit=False))(batch), built)
    for rate, same in ((0.0, True), (0.01, False)):
        full = gradients((built := objective(rate=rate))(batch), built)
        close = [torch.allclose(f, p, atol=1e-7) for f, p in zip(full, plain, strict=True)]
        assert all(close) == same


def test_one_step_of_the_implicit_gradient_agrees_with_finite_differences():
    # (dPhi/dw)' g = d/dw (-rate * slope(w) . g), along one random direction of the weights
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 5))
    encoder = Encoder(backbone).double()
    pixels, point = images(8).tensor().double() / 255, perturbation().double()
    slope = torch.randn_like(point)

    def inner(d):
        return -(encoder(pixels + d) - 1).square().mean()

    def moved() -> float:
        leaf = point.clone().requires_grad_()
        (found,) = torch.autograd.grad(inner(leaf), leaf)
        return (-0.3 * found * slope).sum().item()

    weights = list(encoder.parameters())
    term = implicit_term(inner, point, slope, rate=0.3, steps=1)
    directions = [torch.randn_like(weight) for weight in weights]
    found = torch.autograd.grad(term, weights)
    along = sum((g * d).sum().item() for g, d in zip(found, directions, strict=True))

    def shifted(step: float) -> float:
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.add_(direction, alpha=step)
        value = moved()
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.sub_(direction, alpha=step)
        return value

    assert along == pytest.approx((shifted(1e-5) - shifted(-1e-5)) / 2e-5, rel=1e-4)


def test_attention_has_second_derivatives():
    tokens = Encoder(build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4"))
    built = objective(tokens.eval())
    found = gradients(built(images().tensor()), built)
    assert all(gradient.isfinite().all() for gradient in found)


def eager(**settings) -> IBau:
    """Enough steps on few images to see something."""
    return IBau(batch_size=16, search_epochs=5, learning_rate=2e-3, **settings)


def change(encoder: Encoder) -> float:
    """How far the perturbation that is best for this encoder moves its features."""
    found = eager().find(encoder, images(), Watch(), 0)
    with torch.no_grad():
        return -inner_terms(encoder.eval(), images().tensor() / 255, found, 0)["change"].item()


@pytest.mark.parametrize("seed", range(3))
def test_rounds_leave_less_for_a_perturbation_that_is_searched_anew(seed):
    after = [
        change(eager(epochs=rounds, seed=seed)(resnet(), images(), trainer=Watch()).encoder)
        for rounds in (1, 16)
    ]
    assert change(resnet()) > after[0] > after[1]


def test_the_search_leaves_the_encoder_as_it_is():
    encoder, before = resnet(), state(resnet())
    eager().find(encoder, images(), Watch(), 0)
    assert all(torch.equal(value, before[key]) for key, value in state(encoder).items())
    assert [p.requires_grad for p in encoder.parameters()] == [
        p.requires_grad for p in resnet().parameters()
    ]


def test_a_perturbation_stays_within_its_radius_and_reaches_it():
    found = eager(search_rate=0.1).find(resnet(), images(), Watch(), 0)
    assert found.abs().max().item() == pytest.approx(16 / 255)
    assert found.shape == (1, 3, 8, 8)


def test_a_search_starts_anywhere_but_at_zero_and_anew_in_each_round():
    starts = [
        replace(eager(seed=seed), search_epochs=0).find(resnet(), images(), Watch(), index)
        for seed, index in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert 6 / 255 < starts[0].abs().max().item() <= 8 / 255
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert not torch.equal(starts[0], starts[3])


def test_each_round_searches_and_unlearns():
    watch = Watch()
    eager(epochs=2)(resnet(), images(), trainer=watch)
    assert [training.name for training in watch.seen] == [
        "i-bau-1-search",
        "i-bau-1-unlearn",
        "i-bau-2-search",
        "i-bau-2-unlearn",
    ]


def test_each_round_searches_on_what_the_round_before_left():
    watch = Watch()
    after_one_round = eager(epochs=1)(resnet(), images(), trainer=Watch()).encoder
    eager(epochs=2)(resnet(), images(), trainer=watch)
    searched = {training.name: training.before for training in watch.seen}
    for name, subject in (("i-bau-1-search", resnet()), ("i-bau-2-search", after_one_round)):
        for key, weight in subject.named_parameters():
            assert torch.equal(searched[name][f"frozen.{key}"], weight), key


def test_statistics_of_batch_normalisation_stay():
    found = dict(eager(epochs=1)(resnet(), images(), trainer=Watch()).encoder.named_buffers())
    assert all(torch.equal(found[name], buffer) for name, buffer in resnet().named_buffers())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": -1}, "epochs and search_epochs must be 0 or more"),
        ({"search_epochs": -1}, "search_epochs must be 0 or more"),
        ({"steps": 0}, "1 step or more"),
        ({"start": 0.0}, "start must be above 0"),
        ({"start": 0.2}, "at most the radius"),
        ({"radius": 2.0}, "radius at most 1"),
        ({"rate": -1.0}, "rate must be 0 or more"),
        ({"penalty": math.nan}, "penalty must be 0 or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, message):
    with pytest.raises(InputError, match=message):
        IBau(**setting)
