"""What every method of pre-training owes its caller: one table, one row per method."""

import os
import signal
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError, InterruptedRunError
from mimic.images.imageset import ImageSet
from mimic.pretraining import METHODS, Pretraining
from mimic.training import Objective
from mimic.training.randomness import seeded

from .support import CPU, given, identical, state

LEARNING = {
    "simclr": {"learning_rate": 0.01},
    "moco": {"learning_rate": 0.3, "momentum": 0.5, "queue": 64},
    "byol": {"momentum": 0.9},
    "simsiam": {"learning_rate": 0.5},
}
"""Settings under which a method learns something from 64 images within seconds."""


@pytest.fixture(params=sorted(METHODS))
def name(request) -> str:
    return request.param


def hasty(name: str, *, epochs: int = 1, seed: int = 0) -> Pretraining:
    return METHODS[name](epochs=epochs, batch_size=32, seed=seed)


@cache
def weights(
    name: str, digits: ImageSet, *, seed: int = 0, again: bool = False
) -> dict[str, Tensor]:
    """Weights after two steps; `again` asks for a second run."""
    del again
    return hasty(name, seed=seed)(given(), digits, trainer=CPU).backbone.state_dict()


def prepared(method: Pretraining, digits: ImageSet) -> Objective:
    """The objective that a call of `method` would train."""
    fresh = given().reinitialized(method.seed)
    with seeded(method.seed):
        return method.objective(fresh, digits)


def stopped_after(objective: Objective, steps: int) -> Objective:
    """The same objective, but the process is asked to end after `steps` steps."""
    done, follow = [], objective.after_step

    def after_step() -> None:
        follow()
        done.append(None)
        if len(done) == steps:
            os.kill(os.getpid(), signal.SIGTERM)

    objective.after_step = after_step
    return objective


def test_every_method_goes_by_its_own_name(name):
    assert METHODS[name].name == name


def test_every_summary_is_one_short_line(name):
    assert 20 <= len(METHODS[name].summary) <= 80


def test_the_same_seed_gives_the_same_weights(name, digits):
    assert identical(weights(name, digits), weights(name, digits, again=True))


def test_another_seed_gives_other_weights(name, digits):
    assert not identical(weights(name, digits), weights(name, digits, seed=1))


def test_training_changes_the_weights(name, digits):
    assert not identical(weights(name, digits), state(given().reinitialized(0).backbone))


def test_the_given_weights_have_no_influence(name, digits):
    other = given().reinitialized(9)
    trained = hasty(name)(other, digits, trainer=CPU).backbone.state_dict()
    assert identical(trained, weights(name, digits))


def test_zero_epochs_give_the_seeded_random_weights(name, digits):
    untrained = hasty(name, epochs=0, seed=5)(given(), digits, trainer=CPU)
    assert identical(state(untrained), state(given().reinitialized(5)))


def test_the_given_encoder_is_left_as_it_was(name, digits):
    encoder = given()
    hasty(name)(encoder, digits, trainer=CPU)
    assert identical(state(encoder), state(given()))
    assert not encoder.training


def test_the_result_is_in_eval_mode_and_normalises_as_before(name, digits):
    encoder = hasty(name)(given(), digits, trainer=CPU)
    assert not any(module.training for module in encoder.modules())
    assert torch.equal(encoder.mean, given().mean)


def test_random_states_are_as_they_were(name, digits):
    before = torch.get_rng_state()
    hasty(name)(given(), digits, trainer=CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_each_batch_normalisation_counts_one_batch_per_step(name, digits):
    method = hasty(name)
    objective = prepared(method, digits)
    CPU.fit(objective, digits, method.plan())
    learner = state(objective.learner)
    assert {int(v) for k, v in learner.items() if k.endswith("num_batches_tracked")} == {2}


def test_the_loss_falls_within_a_few_steps(name, digits):
    method = METHODS[name](epochs=18, batch_size=64, min_scale=0.8, **LEARNING[name])
    history = CPU.fit(prepared(method, digits), digits, method.plan())
    (term,) = {"contrastive", "prediction"} & history.epochs[0].keys()
    # the first step of MoCo is easy, because its queue is still random
    losses = [record[term] for record in history.epochs[1:]]
    assert sum(losses[-3:]) < 0.96 * sum(losses[:3])


@pytest.mark.parametrize("step", [1, 3])
def test_an_interrupted_training_ends_bit_identical(name, digits, tmp_path, step):
    method = hasty(name, epochs=3)
    whole = method(given(), digits, trainer=CPU)
    trainer = replace(CPU, folder=tmp_path, resume=True)
    objective = stopped_after(prepared(method, digits), step)
    with pytest.raises(InterruptedRunError):
        trainer.fit(objective, digits, method.plan(), name=name)
    assert identical(state(method(given(), digits, trainer=trainer)), state(whole))


def test_all_that_is_carried_along_survives_an_interruption(name, digits, tmp_path):
    method = hasty(name, epochs=3)
    whole, resumed = prepared(method, digits), prepared(method, digits)
    CPU.fit(whole, digits, method.plan())
    trainer = replace(CPU, folder=tmp_path, resume=True)
    with pytest.raises(InterruptedRunError):
        trainer.fit(stopped_after(prepared(method, digits), 3), digits, method.plan())
    trainer.fit(resumed, digits, method.plan())
    assert identical(state(resumed.learner), state(whole.learner))


def test_fewer_images_than_a_batch_are_enough(name, digits):
    few = digits.subset(range(20))
    assert isinstance(hasty(name)(given(), few, trainer=CPU), Encoder)


def test_no_images_are_refused(name, digits):
    with pytest.raises(InputError, match="nothing to train on"):
        hasty(name)(given(), digits.subset([]), trainer=CPU)


def test_bad_settings_are_refused(name, digits):
    with pytest.raises(InputError, match="epochs must be 0 or more"):
        hasty(name, epochs=-1)(given(), digits, trainer=CPU)
