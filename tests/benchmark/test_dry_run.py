"""A dry run measures a few steps and counts what can be counted exactly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mimic.benchmark.dry_run import forward_flops, rehearse
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.pretraining import SimClr
from mimic.training import Plan, Trainer

CPU = Trainer(device="cpu", precision="32-true")


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4 * 64, 5)))


def test_operations_are_two_per_product_and_sum(encoder):
    assert forward_flops(encoder, (8, 8)) == 2 * (64 * 3 * 4 + 4 * 64 * 5)


def test_counting_leaves_the_encoder_as_it_is(encoder):
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    forward_flops(encoder, (8, 8))
    assert encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_a_dry_run_says_what_the_work_would_take(encoder, noise, tmp_path: Path):
    method = SimClr(epochs=1000, batch_size=32)
    trainer = replace(CPU, folder=tmp_path / "run", resume=True)
    found = rehearse(
        encoder, noise, lambda used: method(encoder, noise, trainer=used), trainer=trainer
    )
    assert found["parameters"] == 3 * 4 + 4 + 4 * 64 * 5 + 5
    assert found["seconds"] >= found["training_seconds"] > 0
    assert found["peak_memory_mib"] is None or found["peak_memory_mib"] > 10
    assert (found["image_size"], found["images_used"]) == ([8, 8], 160)
    assert (found["device"], found["processes"]) == ("cpu", 1)
    assert not (tmp_path / "run").exists()


def test_the_settings_of_the_trainer_are_rehearsed(encoder, noise):
    used: list[Trainer] = []
    rehearse(encoder, noise, used.append, trainer=replace(CPU, accumulate=3, progress=True))
    assert (used[0].accumulate, used[0].progress, used[0].device) == (3, True, "cpu")


def test_work_that_trains_nothing_takes_no_time_in_training(encoder, noise: ImageSet):
    plan = Plan(epochs=0)
    found = rehearse(encoder, noise, lambda _: plan, trainer=CPU)
    assert found["training_seconds"] == 0
