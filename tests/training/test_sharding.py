"""Processes that divide weights among them end with the weights of processes that do not."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mimic.errors import InputError, InterruptedRunError
from mimic.pretraining import METHODS
from mimic.training import Plan, Trainer
from mimic.training.sharding import check_shardable

from .launching import launch
from .support import Copy, Pairs, weights

CPU = Trainer(device="cpu", precision="32-true")
COPIED = Plan(epochs=2, batch_size=7, learning_rate=0.01, drop_last=False)
"""As in `sharding_worker.py`: 50 images make 8 steps an epoch."""
WORKER = Path(__file__).with_name("sharding_worker.py")


class Stopped(Copy):
    """Asks itself to stop after three steps."""

    def after_step(self) -> None:
        self._steps = getattr(self, "_steps", 0) + 1
        if self._steps == 3:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a checkpoint that one process left for two."""
    made = tmp_path_factory.mktemp("sharded")
    Stopped.__qualname__ = Copy.__qualname__  # checkpoints know the kind of their objective
    with pytest.raises(InterruptedRunError):
        replace(CPU, folder=made / "copied-alone").fit(Stopped(), Pairs(), COPIED)
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, list[Any]]:
    """What each of two processes found."""
    cases = ("held", "copied", "copied_on", "methods", "mimicked", "refused")
    return launch(folder, *cases, worker=WORKER)


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What one process makes of the same training."""
    objective = Copy()
    history = CPU.fit(objective, Pairs(), COPIED)
    return weights(objective.learner) | {"history": [epoch["end"] for epoch in history.epochs]}


def close_to(state: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert state.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)


def test_a_process_holds_its_part(found):
    (before, first), (_, second) = found["held"]
    assert first + second == before
    assert abs(first - second) < 0.1 * before


def test_divided_weights_end_as_those_of_one_process(found, alone):
    for case in found["copied"]:
        history = case.pop("history")
        assert history == pytest.approx(alone["history"], rel=1e-4)
        close_to(case, {name: value for name, value in alone.items() if name != "history"})


def test_one_process_goes_on_where_two_with_divided_weights_ended(found, folder, alone):
    assert found["copied"]
    objective = Copy()
    place = folder / "copied-0"
    history = replace(CPU, folder=place, resume=True).fit(objective, Pairs(), COPIED)
    assert [epoch["end"] for epoch in history.epochs] == pytest.approx(alone["history"], rel=1e-4)
    assert not (folder / "copied-1").exists()


def test_a_checkpoint_holds_whole_weights_and_the_whole_state_of_the_optimizer(found, folder):
    assert found["copied"]
    state = torch.load(folder / "copied-0" / "training.ckpt", weights_only=True)
    learner = list(Copy().learner.parameters())
    moments = [entry["exp_avg"] for entry in state["optimizer"]["state"].values()]
    assert [m.shape for m in moments] == [weight.shape for weight in learner]
    assert all(type(value) is torch.Tensor for value in [*moments, *state["learner"].values()])


def test_processes_with_divided_weights_go_on_where_one_process_stopped(found, alone):
    for case in found["copied_on"]:
        close_to(case, {name: value for name, value in alone.items() if name != "history"})


@pytest.mark.parametrize("name", METHODS)
def test_every_pre_training_ends_as_with_whole_weights(found, name):
    for case in found["methods"]:
        close_to(case[f"{name}-True"], case[f"{name}-False"])


def test_the_default_defence_ends_as_with_whole_weights(found):
    for case in found["mimicked"]:
        close_to(case["True"], case["False"])


def test_a_training_that_cannot_be_divided_says_so(found):
    assert found["refused"] == ["--fsdp does not work for 'training'; leave it out"] * 2


def test_one_process_has_nobody_to_share_with():
    with pytest.raises(InputError, match="start them by torchrun"):
        replace(CPU, fsdp=True)


def test_a_weight_that_is_a_single_number_is_named():
    network = nn.Linear(2, 2)
    network.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(InputError, match="'scale'"):
        check_shardable(network)
