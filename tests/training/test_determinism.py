"""Determinism lasts as long as a training, and says what stands in its way."""

import os
from dataclasses import replace

import pytest
import torch

from mimic.errors import RunError
from mimic.training import Plan, Trainer
from mimic.training.determinism import deterministic_algorithms

from .support import Classify, Numbers, Pairs, Regress, identical, weights

CPU = Trainer(device="cpu", precision="32-true")
PLAN = Plan(epochs=1, batch_size=8)


def test_torch_is_deterministic_during_a_training_and_as_before_after_it():
    seen: list[bool] = []
    note = Regress(on_step=1, act=lambda: seen.append(torch.are_deterministic_algorithms_enabled()))
    replace(CPU, deterministic=True).fit(note, Numbers(), PLAN)
    assert (seen, torch.are_deterministic_algorithms_enabled()) == ([True], False)


def test_on_a_cpu_the_result_is_the_same_with_and_without():
    usual, strict = Classify(), Classify()
    CPU.fit(usual, Pairs(), PLAN)
    replace(CPU, deterministic=True).fit(strict, Pairs(), PLAN)
    assert identical(weights(usual.learner), weights(strict.learner))


def test_cublas_is_told_before_it_is_used(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    Trainer(deterministic=True)
    told = os.environ.pop("CUBLAS_WORKSPACE_CONFIG")
    assert told == ":4096:8"


def test_an_operation_without_a_deterministic_kind_is_named():
    with (
        pytest.raises(RunError, match=r"^put_ is not deterministic .* leave --deterministic out"),
        deterministic_algorithms(wanted=True),
    ):
        raise RuntimeError("put_ does not have a deterministic implementation, but you set ...")


def test_other_errors_stay_what_they_are():
    with (
        pytest.raises(RuntimeError, match="something else"),
        deterministic_algorithms(wanted=True),
    ):
        raise RuntimeError("something else")
