"""Estimates come from steps that were really taken."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from mimic.benchmark import estimate as module
from mimic.benchmark.estimate import Sampler, estimate_seconds
from mimic.benchmark.grid import Cell
from mimic.errors import InterruptedRunError
from mimic.training import Objective, Plan
from mimic.training.progress import Progress

CLOCK = [0.0]


class Slow(Objective):
    """The first step takes 10 seconds on a clock of ours, all others 2."""

    def __init__(self) -> None:
        super().__init__()
        self.learner = nn.Linear(1, 1)
        self.steps = 0

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        CLOCK[0] += 2.0 if self.steps else 10.0
        self.steps += 1
        return {"loss": self.learner(batch).mean()}


@dataclass(frozen=True)
class Numbers:
    count: int
    streamed: bool = False

    def __len__(self) -> int:
        return self.count

    def batch(self, positions: Tensor) -> Tensor:
        return positions[:, None].float()


@pytest.fixture
def sampler(monkeypatch) -> Sampler:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: CLOCK[0]))
    return Sampler(device="cpu", precision="32-true")


@pytest.mark.parametrize(("images", "epochs"), [(1000, 3), (20, 15), (100, 3)])
def test_a_training_of_30_steps_is_said_to_last_30_usual_steps(sampler, images, epochs):
    size = images * epochs // 30
    sampler.fit(slow := Slow(), Numbers(images), Plan(epochs=epochs, batch_size=size))
    assert slow.steps < 8
    assert sampler.fits == [(10.0 + 2.0 * (slow.steps - 1), 60.0)]


def test_a_training_without_epochs_takes_no_time(sampler):
    sampler.fit(Slow(), Numbers(10), Plan(epochs=0))
    assert sampler.fits == []


def seconds(cells, tmp_path, **settings) -> dict[str, float | None]:
    return estimate_seconds(cells, cache=tmp_path / "e.json", threads=1, show=False, **settings)


def test_more_epochs_take_longer(cells, tmp_path):
    long = replace(cells[0], label="long", defense=replace(cells[0].defense, epochs=10_000))
    found = seconds((cells[0], long), tmp_path)
    assert found[long.stem] > 10 * found[cells[0].stem] > 0


def test_what_was_measured_is_not_measured_again(cells, tmp_path, monkeypatch):
    found = seconds(cells, tmp_path)
    monkeypatch.setattr(module, "_measure_defense", None)
    monkeypatch.setattr(module, "_measure_probes", None)
    later = replace(cells[0], defense=cells[0].defense.with_settings(seed=7))
    assert seconds((*cells, later), tmp_path) == found | {later.stem: found[cells[0].stem]}


def test_progress_counts_what_is_measured(cells, tmp_path, monkeypatch):
    """Not the cells, of which most have their work in common with others."""
    totals: list[int] = []

    def counted(name: str, total: int, *, show: bool) -> Progress:
        totals.append(total)
        return Progress(name, total, show=show)

    monkeypatch.setattr(module, "Progress", counted)
    same = [replace(cells[0], defense=cells[0].defense.with_settings(seed=i)) for i in range(5)]
    seconds(same, tmp_path)
    seconds(same, tmp_path)
    assert totals == [2, 0]


def test_trainings_grow_with_the_number_of_images(cells, tmp_path):
    (found,) = seconds(cells[:1], tmp_path).values()
    ((training, rest, _), (fit, judging, _)) = json.loads(
        (tmp_path / "e.json").read_text()
    ).values()
    twice = replace(cells[0], count=64)
    assert found == pytest.approx(training + rest + fit + judging)
    assert seconds((twice,), tmp_path)[twice.stem] == pytest.approx(found + training)


def test_a_defence_that_fails_has_no_estimate(cells, tmp_path):
    broken = replace(cells[0], defense=replace(cells[0].defense, batch_size=0))
    assert seconds((broken,), tmp_path) == {broken.stem: None}


def test_an_interruption_is_not_taken_for_a_failure(cells, tmp_path, monkeypatch):
    def interrupt(_cell: Cell) -> None:
        raise InterruptedRunError("interrupted")

    monkeypatch.setattr(module, "_measure_defense", interrupt)
    with pytest.raises(InterruptedRunError):
        seconds(cells, tmp_path)


def test_measuring_leaves_the_number_of_threads_as_it_was(cells, tmp_path):
    before = torch.get_num_threads()
    estimate_seconds(cells[:1], cache=tmp_path / "e.json", threads=before + 1, show=False)
    assert torch.get_num_threads() == before
