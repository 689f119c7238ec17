"""DECREE's rules against a plain account of them, and a planted patch that it finds."""

import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mimic.detection.decree import LARGE, SMALL, Decree, DecreeObjective, Settings, decree
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.errors import InputError, InterruptedRunError
from mimic.training import Trainer
from mimic.training.history import History

from .doors import detector
from .support import TRAINER, Constant, noise, planted

DOCS = Path(__file__).parents[2] / "docs"
SHORT = replace(SMALL, epochs=2, batch_size=8)
SIZE = (16, 16)


@dataclass(frozen=True, kw_only=True)
class Watching(Trainer):
    """Notes the plan, and after each step the size of the smallest mask; may be interrupted."""

    device: str = "cpu"
    precision: str = "32-true"
    interrupt_at: int = 0
    plans: list = field(default_factory=list)
    sizes: list = field(default_factory=list)

    def fit(self, objective, data, plan, *, name="training"):
        def watch() -> None:
            self.sizes.append(objective.learner.search.sizes().item())
            if len(self.sizes) == self.interrupt_at:
                os.kill(os.getpid(), signal.SIGTERM)

        objective.after_step = watch
        self.plans.append(plan)
        return super().fit(objective, data, plan, name=name)


@dataclass(frozen=True, kw_only=True)
class Idle(Watching):
    """Notes the plan and trains nothing."""

    def fit(self, objective, data, plan, *, name="training"):
        self.plans.append(plan)
        return History()


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "constant": lambda: Encoder(Constant()),
    "patch": lambda: detector(door=True),
    "no patch": lambda: detector(door=False),
}


@cache
def searched(which: str) -> tuple[Decree, list[float]]:
    """What DECREE says with its published settings, and the smallest size after each step."""
    trainer, settings = Watching(), replace(SMALL, batch_size=16)
    found = decree(ENCODERS[which](), noise(256), settings=settings, trainer=trainer)
    return found, trainer.sizes


def hasty(encoder: Encoder, images=None, **settings) -> Decree:
    settings = {"settings": SHORT, "trainer": TRAINER} | settings
    return decree(encoder, images or noise(), **settings)


def test_a_constant_encoder_has_success_from_the_first_step():
    found, sizes = searched("constant")
    assert sizes[0] < 1
    assert found.similarity == pytest.approx(1)


def test_a_constant_encoder_needs_no_mask():
    found, _ = searched("constant")
    assert found.verdict == "suspicious"
    assert found.pl1 < 1e-3


def test_the_mask_lies_on_the_patch_that_the_encoder_was_taught():
    found, _ = searched("patch")
    mask, pattern = found.triggers.masks[0], found.triggers.patterns[0]
    drawn = 0.5 + mask * (pattern - 0.5)
    response = detector(door=True).backbone.response(drawn[None])[0, 0]
    row, column = divmod(int(response.argmax()), 14)
    assert mask[0, row : row + 3, column : column + 3].sum() > 0.9 * mask.sum()


def test_an_encoder_that_was_taught_a_patch_is_suspicious():
    found, _ = searched("patch")
    assert found.verdict == "suspicious"
    assert found.pl1 < 9 / 256


def test_an_encoder_that_was_not_is_clean():
    found, _ = searched("no patch")
    assert found.verdict == "clean"
    assert found.pl1 > 0.5


@pytest.mark.parametrize("which", ENCODERS)
def test_the_smallest_mask_never_grows(which):
    found, sizes = searched(which)
    assert sizes == sorted(sizes, reverse=True)
    assert found.pl1 == sizes[-1]


@pytest.mark.parametrize("which", ENCODERS)
def test_l1_counts_the_mask_in_each_of_three_channels(which):
    found, _ = searched(which)
    assert found.l1 == pytest.approx(3 * found.triggers.masks.double().sum().item(), rel=1e-5)
    assert found.pl1 == pytest.approx(found.l1 / (3 * 16 * 16), rel=1e-5)


def test_the_search_ends_with_the_first_epoch_after_more_than_ten_steps_without_a_smaller_mask():
    found, sizes = searched("constant")
    stale, ends = 0, []
    for step, (before, after) in enumerate(zip([1.0, *sizes], sizes, strict=False), start=1):
        stale = 0 if after < before else stale + 1
        ends += [step] if step % 16 == 0 and stale > 10 else []
    assert ends == [len(sizes)]
    assert found.epochs == len(sizes) / 16


def test_steps_are_stale_from_the_second_on_where_the_mask_stays_as_it_is():
    objective = DecreeObjective(Encoder(Constant()), SIZE, SMALL)
    counted = []
    for _ in range(4):
        objective(noise(5).tensor())
        counted.append(objective.learner.stale.item())
    assert counted == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "stale", "similarity", "expected"),
    [
        (SMALL, 11, 0.995, True),
        (SMALL, 10, 0.995, False),
        (SMALL, 11, 0.985, False),
        (LARGE, 36, 0.995, True),
        (LARGE, 35, 0.995, False),
    ],
)
def test_the_end_takes_both_success_and_stale_steps(settings, stale, similarity, expected):
    objective = DecreeObjective(Encoder(Constant()), SIZE, settings)
    objective.learner.stale.fill_(stale)
    assert objective.finished({"similarity": -similarity}) is expected


def test_the_weight_of_the_mask_counts_its_sum_over_pixels_and_channels():
    objective = DecreeObjective(planted(), SIZE, SMALL)
    total = objective.learner.search.values()[0].double().sum().item()
    terms = objective(noise(5).tensor())
    assert terms["mask"].item() == pytest.approx(1e-3 * 3 * total, rel=1e-5)


def published_weights(successes: list[bool], least: float) -> list[float]:
    """The rule as published, with a counter for each of its clauses, the reset included."""
    weight, up, down, low = 1e-3, 0, 0, 0
    found = []
    for success in successes:
        up, down = (up + 1, 0) if success else (0, down + 1)
        if up > 5 and weight < 1e5:
            weight, up = weight * 5, 0
        elif down > 5 and weight >= least:
            weight, down = weight / 5, 0
        low = low + 1 if success and weight < least else 0
        if low > 10:
            weight, up, down, low = 1e-3, 0, 0, 0
        found.append(weight)
    return found


def our_weights(successes: Tensor, settings: Settings, size: tuple[int, int]) -> Tensor:
    """The same in units of sums, by the penalty that the search uses; (searches, steps)."""
    penalty = settings.penalty(size)
    weight = torch.full((len(successes),), penalty.start)
    streak = torch.zeros(len(successes), dtype=torch.int64)
    found = []
    for success in successes.unbind(dim=1):
        weight, streak = penalty.adapt(weight, streak, success)
        found.append(weight / (3 * size[0] * size[1]))
    return torch.stack(found, dim=1)


def test_the_weight_follows_a_table_made_by_hand():
    successes = torch.tensor([[False] * 30 + [True] * 18])
    fall = [1e-3] * 5 + [2e-4] * 6 + [4e-5] * 6 + [8e-6] * 13
    rise = [8e-6] * 5 + [4e-5] * 6 + [2e-4] * 6 + [1e-3]
    assert our_weights(successes, SMALL, (32, 32))[0].tolist() == pytest.approx(fall + rise)


@pytest.mark.parametrize(("settings", "size"), [(SMALL, (32, 32)), (LARGE, (224, 224))])
def test_the_weight_follows_the_published_rule_whose_reset_never_happens(settings, size):
    generator = torch.Generator().manual_seed(0)
    changes = torch.logspace(-2.5, -0.3, 100)[:, None]
    turns = torch.rand(100, 400, generator=generator) < changes
    successes = (turns.cumsum(dim=1) + torch.arange(100)[:, None]) % 2 == 0
    ours = our_weights(successes, settings, size)
    least, most = settings.least_weight, 1e5
    assert ours.min() < least < most < ours.max()
    published = [published_weights(row, least) for row in successes.tolist()]
    torch.testing.assert_close(ours, torch.tensor(published), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("settings", "table"),
    [
        (SMALL, {0: 0.5, 29: 0.5, 30: 0.1, 49: 0.1, 50: 0.05, 999: 0.05}),
        (LARGE, {0: 0.5, 199: 0.5, 200: 0.1, 499: 0.1, 500: 0.05, 999: 0.05}),
    ],
    ids=["small", "large"],
)
def test_the_learning_rate_follows_a_table_made_by_hand(settings, table):
    plan = settings.plan(seed=0)
    first = {epoch: plan.learning_rate_at(7 * epoch, 7) for epoch in table}
    last = {epoch: plan.learning_rate_at(7 * epoch + 6, 7) for epoch in table}
    assert first == last == table


@pytest.mark.parametrize(("side", "settings"), [(32, SMALL), (96, SMALL), (97, LARGE)])
def test_the_settings_are_those_for_images_of_that_size(side, settings):
    trainer = Idle()
    decree(Encoder(Constant()), noise(2, (8, side)), seed=5, trainer=trainer)
    assert trainer.plans == [settings.plan(seed=5)]


def test_published_are_a_thousand_epochs_in_batches_of_128_by_adam_with_its_betas():
    plan = SMALL.plan(seed=0)
    assert (plan.epochs, plan.batch_size) == (1000, 128)
    assert (plan.optimizer, plan.betas) == ("adam", (0.5, 0.9))


def test_without_any_success_it_is_inconclusive():
    found = hasty(planted())
    assert found.verdict == "inconclusive"
    assert (found.pl1, found.l1) == (None, None)
    assert -1 < found.similarity <= 0.99
    assert found.epochs == 2


@pytest.mark.parametrize("which", [lambda: searched("patch")[0], lambda: hasty(planted())])
def test_a_result_goes_through_json(which):
    said = which().as_dict()
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_the_seed_decides_the_size():
    images, settings = noise(256), replace(SMALL, batch_size=16)
    again, other = (
        decree(ENCODERS["patch"](), images, seed=seed, settings=settings, trainer=TRAINER)
        for seed in (0, 1)
    )
    first, _ = searched("patch")
    assert again.pl1 == first.pl1
    assert torch.equal(again.triggers.masks, first.triggers.masks)
    assert other.pl1 != first.pl1


def test_a_search_that_was_interrupted_ends_as_one_that_was_not(tmp_path):
    images, settings = noise(256), replace(SMALL, batch_size=16)
    keeping = Watching(folder=tmp_path, resume=True, interrupt_at=50)
    with pytest.raises(InterruptedRunError):
        decree(ENCODERS["patch"](), images, settings=settings, trainer=keeping)
    resumed = decree(ENCODERS["patch"](), images, settings=settings, trainer=keeping)
    whole, sizes = searched("patch")
    assert keeping.sizes == sizes
    assert resumed.epochs == whole.epochs
    assert torch.equal(resumed.triggers.masks, whole.triggers.masks)


def test_a_checkpoint_of_another_patience_is_refused(tmp_path):
    keeping = replace(TRAINER, folder=tmp_path, resume=True)
    hasty(planted(), trainer=keeping)
    with pytest.raises(InputError, match="other settings"):
        hasty(planted(), settings=replace(SHORT, patience=3), trainer=keeping)


def test_the_precision_of_the_trainer_does_not_matter():
    full, mixed = (
        hasty(planted(), trainer=Trainer(device="cpu", precision=precision))
        for precision in ("32-true", "bf16-mixed")
    )
    assert full.similarity == mixed.similarity


@pytest.mark.parametrize("architecture", ["resnet10:width=4", "vit_tiny:dim=8,depth=1,heads=1"])
def test_the_encoder_is_left_as_it_was(architecture):
    encoder = Encoder(build_backbone(architecture)).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    hasty(encoder)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert all(module.training for module in encoder.modules())
    assert all(p.requires_grad and p.grad is None for p in encoder.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 1}, "batch size must be 2 or more, not 1"),
        ({"epochs": 0}, "1 epoch or more, not 0"),
        ({"patience": -1}, "0 steps or more, not -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Settings(**settings)


def test_a_single_image_is_refused():
    with pytest.raises(InputError, match="2 or more, not 1"):
        hasty(planted(), noise(1))


def test_the_snippets_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suspect = Encoder(
        build_backbone("resnet10:width=2"), architecture="resnet10:width=2", image_size=16
    )
    save_encoder(suspect, tmp_path / "suspect.safetensors")
    fit = Trainer.fit

    def fit_two_epochs(self, objective, data, plan, **names):
        return fit(self, objective, data, replace(plan, epochs=2), **names)

    monkeypatch.setattr(Trainer, "fit", fit_two_epochs)
    page = (DOCS / "decree.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, "decree.md", "exec"), names)
    assert len(snippets) >= 2
