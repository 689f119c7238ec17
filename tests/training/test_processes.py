"""Several processes do together what one does alone: same losses and weights, one set of files."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mimic.errors import InputError, InterruptedRunError
from mimic.losses.contrastive import nt_xent
from mimic.losses.correlation import correlation_loss
from mimic.losses.gram import gram_loss
from mimic.losses.pkt import transfer_loss
from mimic.losses.relational import relational_loss
from mimic.losses.similarity import similarity_loss
from mimic.training import Plan, Trainer, processes
from mimic.training.precision import open_fabric

from .launching import launch
from .support import (
    Classify,
    Contrast,
    Halves,
    Numbers,
    Pairs,
    Regress,
    Remember,
    identical,
    weights,
)

CPU = Trainer(device="cpu", precision="32-true")
PLAN = Plan(epochs=2, batch_size=7, learning_rate=0.05, optimizer="sgd", drop_last=False)
"""As in `worker.py`: 22 numbers make batches of 7, 7, 7 and 1."""
CASES = (
    *("contrast", "alone", "order", "regress", "accumulate", "contrasted", "whole", "statistics"),
    "pairs",
    *("halves", "draws", "queue", "refused", "told", "unfit", "interrupted", "resumed", "scarce"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a checkpoint that one process left for two."""
    made = tmp_path_factory.mktemp("together")
    interrupt = Regress(on_step=3, act=lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(InterruptedRunError):
        replace(CPU, folder=made / "taken-over").fit(interrupt, Numbers(), PLAN)
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, list[Any]]:
    """What each of two processes found."""
    return launch(folder, *CASES)


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What one process makes of the same regression."""
    objective = Regress()
    history = CPU.fit(objective, Numbers(), PLAN)
    return weights(objective.learner) | {"history": history.epochs}


def agree(states: list[dict[str, Any]]) -> bool:
    first, second = states
    return all(torch.equal(first[k], second[k]) for k, v in first.items() if isinstance(v, Tensor))


def close_to(state: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, Tensor):
            torch.testing.assert_close(state[name], value, rtol=1e-5, atol=1e-6)


def test_the_contrastive_loss_is_that_of_the_joint_batch(found):
    views = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
    wanted = nt_xent(*views, 0.2).item()
    assert [case["loss"].item() for case in found["contrast"]] == pytest.approx([wanted] * 2, 1e-5)


def test_the_gradients_of_the_contrastive_loss_are_those_of_the_joint_batch(found):
    views = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    nt_xent(*views, 0.2).backward()
    gathered = torch.cat([case["gradients"] for case in found["contrast"]], dim=1)
    torch.testing.assert_close(gathered, views.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "loss", [gram_loss, similarity_loss, transfer_loss, correlation_loss, relational_loss]
)
def test_the_gradients_of_a_loss_on_pairs_are_those_of_the_joint_batch(found, loss):
    student, teacher = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
    loss(student.requires_grad_(), teacher).backward()
    gathered = torch.cat([case[loss.__name__] for case in found["pairs"]])
    torch.testing.assert_close(gathered, student.grad, rtol=1e-4, atol=1e-6)


def test_outside_of_a_divided_step_nothing_is_gathered(found):
    views = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
    assert [value.item() for value in found["alone"]] == [nt_xent(*views, 0.2).item()] * 2


def test_the_joint_batch_has_the_order_of_the_processes(found):
    assert all(torch.equal(rows, torch.arange(7.0)) for rows in found["order"])


def test_two_processes_end_with_the_weights_of_one(found, alone):
    close_to(found["regress"][0], alone)


@pytest.mark.parametrize(
    "case", ["regress", "contrasted", "statistics", "whole", "halves", "queue"]
)
def test_all_processes_end_with_the_same_weights(found, case):
    assert agree(found[case])


def test_a_batch_is_divided_and_one_that_is_too_small_is_not(found):
    assert [case["images"] for case in found["regress"]] == [[4, 4, 4, 1] * 2, [3, 3, 3, 1] * 2]


def test_the_history_is_that_of_one_process(found, alone):
    for case in found["regress"]:
        for ours, wanted in zip(case["history"], alone["history"], strict=True):
            assert ours["square"] == pytest.approx(wanted["square"], rel=1e-5)
            assert ours["images_per_second"] * ours["seconds"] == pytest.approx(22)


def test_all_processes_have_the_same_history(found):
    first, second = (case["history"] for case in found["regress"])
    assert first == second


def test_the_first_process_alone_touches_files(found, folder):
    assert found["regress"]
    assert sorted(path.name for path in (folder / "of-0").iterdir()) == [
        "training.ckpt",
        "training.jsonl",
    ]
    assert not (folder / "of-1").exists()


def test_parts_of_parts_give_the_weights_of_the_whole(found, alone):
    close_to(found["accumulate"][0], alone)


def test_a_training_that_compares_images_ends_with_the_weights_of_one_process(found):
    objective = Contrast()
    plan = Plan(epochs=3, batch_size=7, learning_rate=0.1, optimizer="sgd")
    history = CPU.fit(objective, Numbers(), plan)
    close_to(found["contrasted"][0], weights(objective.learner))
    wanted = [epoch["contrastive"] for epoch in history.epochs]
    assert found["contrasted"][0]["history"] == pytest.approx(wanted, rel=1e-5)


def test_an_objective_that_is_not_divisible_is_trained_as_by_one_process(found):
    objective = Classify()
    CPU.fit(objective, Pairs(), Plan(epochs=2, batch_size=8))
    assert identical(found["whole"][1], weights(objective.learner))


def test_a_parameter_without_gradients_stays_as_it_is(found):
    before, after = weights(Halves().learner), found["halves"][0]
    assert torch.equal(after["2.weight"], before["2.weight"])


def test_a_parameter_that_one_process_alone_uses_is_trained_in_all(found):
    objective = Halves()
    plan = Plan(epochs=1, batch_size=4, learning_rate=0.1, optimizer="adamw", weight_decay=0.5)
    CPU.fit(objective, Numbers(), plan)
    close_to(found["halves"][1], weights(objective.learner))


def test_the_first_process_draws_what_a_single_one_draws_and_others_something_else(found):
    objective = Remember()
    CPU.fit(objective, Numbers(), Plan(epochs=1, batch_size=4))
    first, second = found["draws"]
    assert first == objective._drawn
    assert not set(first) & set(second)


def test_a_queue_holds_the_keys_of_all_processes(found):
    pointers = [int(state["queue.pointer"]) for state in found["queue"]]
    assert pointers == [2 * 4 * 5 % 16] * 2


def test_what_the_first_process_refuses_all_refuse(found):
    assert found["refused"] == ["the first process does not like it"] * 2


def test_what_the_first_process_finds_all_know(found):
    assert found["told"] == ["from 0", "from 0"]


def test_a_signal_to_one_process_stops_all_after_the_same_step(found):
    assert found["interrupted"] == [3, 3]


def test_one_process_goes_on_where_two_stopped(found, folder, alone):
    assert found["interrupted"]
    objective = Regress()
    trainer = replace(CPU, folder=folder / "handed-over", resume=True)
    trainer.fit(objective, Numbers(), PLAN)
    assert objective._steps == 8 - 3
    close_to(weights(objective.learner), alone)


def test_two_processes_go_on_where_one_stopped(found, alone):
    assert [case["steps"] for case in found["resumed"]] == [8 - 3] * 2
    for case in found["resumed"]:
        close_to(case, alone)


def test_a_history_goes_on_in_all_processes(found, alone):
    for case in found["resumed"]:
        wanted = [epoch["square"] for epoch in alone["history"]]
        assert [epoch["square"] for epoch in case["history"]] == pytest.approx(wanted, rel=1e-5)


def test_several_processes_that_lack_memory_say_how_to_divide(found):
    assert all("use --accumulate 2 or a smaller batch" in said for said in found["scarce"])


def test_what_several_processes_cannot_do_is_refused(found):
    for synchronised, numbered in found["unfit"]:
        assert "synchronised on GPUs alone" in synchronised
        assert "cpu:1" in numbered


def test_one_process_is_the_first_of_one():
    assert (processes.count(), processes.rank(), processes.is_first()) == (1, 0, True)


@pytest.mark.parametrize("name", ["cuda:0", "mps"])
def test_a_device_that_cannot_be_shared_is_refused(monkeypatch, name):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("mimic.training.precision._check_device", lambda *_: None)
    with pytest.raises(InputError, match="is not one for 2 processes"):
        open_fabric(name, "32-true")


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("mimic.training.precision._check_device", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="more processes than GPUs"):
        open_fabric("cuda", "32-true")
