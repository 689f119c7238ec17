"""Schedules, orders and seeds in closed form."""

import math

import pytest
import torch
from torch import nn

from mimic.errors import InputError
from mimic.training import Plan, mix_seed


def test_cosine_with_warm_up_has_its_closed_form():
    plan = Plan(epochs=10, learning_rate=0.5, warmup_epochs=2)
    rise = [0.5 * (step + 1) / 9 for step in range(8)]
    fall = [0.25 * (1 + math.cos(math.pi * step / 32)) for step in range(32)]
    rates = [plan.learning_rate_at(step, 4) for step in range(40)]
    assert rates == pytest.approx(rise + fall)


def test_cosine_starts_at_the_peak_without_warm_up():
    assert Plan(epochs=3, learning_rate=0.5).learning_rate_at(0, 7) == 0.5


def test_cosine_would_reach_zero_one_step_after_the_last():
    assert Plan(epochs=3).learning_rate_at(21, 7) == pytest.approx(0, abs=1e-18)


def test_a_constant_rate_stays_constant():
    plan = Plan(epochs=3, learning_rate=0.5, schedule="constant")
    assert {plan.learning_rate_at(step, 7) for step in range(21)} == {0.5}


def test_steps_change_the_rate_at_the_first_step_of_each_milestone():
    plan = Plan(epochs=6, learning_rate=0.5, schedule="steps", milestones=((2, 0.1), (5, 0.05)))
    rates = [plan.learning_rate_at(step, 3) for step in range(18)]
    assert rates == [0.5] * 6 + [0.1] * 9 + [0.05] * 3


@pytest.mark.parametrize(
    ("images", "drop_last", "expected"),
    [(100, True, 3), (100, False, 4), (96, False, 3), (5, True, 1), (5, False, 1)],
)
def test_steps_of_an_epoch(images, drop_last, expected):
    plan = Plan(epochs=1, batch_size=32, drop_last=drop_last)
    assert plan.batches_per_epoch(images) == expected


def test_an_order_holds_every_image_once():
    assert torch.equal(Plan(epochs=1).order(0, 100).sort().values, torch.arange(100))


def test_every_epoch_has_an_order_of_its_own():
    plan = Plan(epochs=2)
    assert not torch.equal(plan.order(0, 100), plan.order(1, 100))


def test_an_order_depends_on_the_seed():
    assert not torch.equal(Plan(epochs=1, seed=0).order(0, 9), Plan(epochs=1, seed=1).order(0, 9))


def test_without_shuffling_the_order_is_that_of_the_data():
    assert torch.equal(Plan(epochs=1, shuffle=False).order(3, 5), torch.arange(5))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_the_optimizer_is_the_one_named(name, kind):
    optimizer = Plan(epochs=1, optimizer=name, weight_decay=0.3).build_optimizer(nn.Linear(2, 2))
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.3


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_optimizer_has_the_betas_of_the_plan(name):
    plan = Plan(epochs=1, optimizer=name, betas=(0.5, 0.9))
    assert plan.build_optimizer(nn.Linear(2, 2)).param_groups[0]["betas"] == (0.5, 0.9)


def test_the_betas_are_those_of_torch_where_none_are_named():
    linear = nn.Linear(2, 2)
    usual = torch.optim.Adam(linear.parameters()).param_groups[0]["betas"]
    assert Plan(epochs=1).build_optimizer(linear).param_groups[0]["betas"] == usual


def test_the_optimizer_leaves_frozen_parameters_alone():
    linear = nn.Linear(2, 2)
    linear.bias.requires_grad_(False)
    assert Plan(epochs=1).build_optimizer(linear).param_groups[0]["params"] == [linear.weight]


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": -1},
        {"batch_size": 0},
        {"learning_rate": -0.1},
        {"learning_rate": math.nan},
        {"warmup_epochs": -1},
        {"optimizer": "lamb"},
        {"schedule": "step"},
        {"schedule": "steps"},
        {"betas": (0.9, 1.0)},
        {"betas": (-0.1, 0.9)},
        {"milestones": ((2, 0.1),)},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=name.replace("_", "[ _]")):
        Plan(**({"epochs": 1} | wrong))


@pytest.mark.parametrize(
    "milestones",
    [((0, 0.1),), ((3, 0.1), (2, 0.05)), ((2, 0.1), (2, 0.05)), ((2, -0.1),), ((2, math.nan),)],
    ids=str,
)
def test_milestones_that_do_not_rise_or_have_no_rate_are_refused(milestones):
    with pytest.raises(InputError, match="rising epochs above 0"):
        Plan(epochs=5, schedule="steps", milestones=milestones)


def test_mixed_seeds_fit_into_63_bits():
    seeds = [mix_seed(seed, index) for seed in (0, 1, 2**62) for index in range(-50, 50)]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_mixed_seeds_differ():
    seeds = {mix_seed(seed, index) for seed in range(20) for index in range(-50, 50)}
    assert len(seeds) == 2000
