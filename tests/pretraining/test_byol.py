import math

import pytest
import torch
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.pretraining.byol import Byol, ByolObjective
from mimic.pretraining.momentum import rising_momentum

from .support import CPU, given


def objective(digits, **settings) -> ByolObjective:
    return ByolObjective(given(), digits.size, **{"steps": 4} | settings)


def test_the_term_is_two_minus_twice_the_cosine_summed_both_ways(digits):
    byol = objective(digits).eval()
    images = digits.tensor()[:12] / 255
    first, second = images[:6], images[6:]
    byol.views = lambda _: images
    learner = byol.learner

    def one_way(seen, hidden):
        predicted = learner["predictor"](learner["projector"](byol.encoder(seen))).double()
        return (2 - 2 * F.cosine_similarity(predicted, byol.target(hidden).double())).mean()

    expected = one_way(first, second) + one_way(second, first)
    term = byol(digits.tensor()[:6])["prediction"]
    assert term.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_target_follows_with_a_momentum_that_rises_to_one(digits):
    byol = objective(digits, steps=4, momentum=0.5)
    theirs, own = byol.encoder.backbone.conv1.weight, byol.target.chain[0].backbone.conv1.weight
    start = own.clone()
    with torch.no_grad():
        theirs.fill_(2)
    for _ in range(3):
        byol.after_step()
    kept = math.prod(rising_momentum(0.5, step, 4) for step in range(3))
    torch.testing.assert_close(own, 2 + kept * (start - 2))


def test_the_steps_taken_are_saved_with_the_learner(digits):
    byol = objective(digits)
    byol.after_step()
    assert int(byol.learner.state_dict()["step"]) == 1


def test_a_training_takes_as_many_steps_as_were_planned_for(digits):
    method = Byol(epochs=3, batch_size=20)
    byol = method.objective(given(), digits)
    CPU.fit(byol, digits, method.plan())
    assert int(byol.learner.get_buffer("step")) == byol.steps == 9


def test_no_gradient_reaches_the_target(digits):
    byol = objective(digits)
    byol.prepare()
    byol(digits.tensor())["prediction"].backward()
    assert all(parameter.grad is None for parameter in byol.target.parameters())
    assert all(parameter.grad is not None for parameter in byol.encoder.parameters())


def test_the_target_starts_as_a_copy(digits):
    byol = objective(digits).eval()
    images = digits.tensor()
    torch.testing.assert_close(byol.target(images), byol.learner["projector"](byol.encoder(images)))


@pytest.mark.parametrize(("epochs", "expected"), [(4, 1.0), (100, 2.0)])
def test_a_short_training_warms_up_for_a_quarter_of_it(epochs, expected):
    assert Byol(epochs=epochs).plan().warmup_epochs == expected


def test_a_momentum_out_of_range_is_refused():
    with pytest.raises(InputError, match="momentum"):
        Byol(momentum=2.0)
