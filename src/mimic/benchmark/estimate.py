"""Estimates of time: each defence is run for real on a real encoder, with a few steps per training.

What it does beside its trainings it does in full. Trainings are taken to last as long as their
steps, and their number of steps to grow with the number of images. Measured once per defence (with
its settings), architecture and source of images, and kept in DIR/estimates.json.
"""

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mimic.benchmark.grid import Cell
from mimic.benchmark.judging import clean_images, labelled_images
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.errors import InterruptedRunError
from mimic.evaluation.evaluate import evaluate
from mimic.files import write_json
from mimic.training import History, Objective, Plan, Trainer
from mimic.training.objective import Data
from mimic.training.progress import Progress
from mimic.zoo.members import provenance

_STEPS = 4
"""Steps of a training that are run; the first one is slower and does not count."""
_JUDGED_ON = 256
"""Images of a task that are looked at to estimate the time of its probes."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of a piece of work.

    Attributes:
        training: grows with the number of images.
        rest: does not.
    """

    training: float
    rest: float


@dataclass(frozen=True, kw_only=True)
class Sampler(Trainer):
    """A trainer that runs the first steps of each training and says how long all would take.

    Attributes:
        fits: seconds that were spent in steps, and seconds that all steps would take.
    """

    fits: list[tuple[float, float]] = field(default_factory=list)

    def fit(
        self, objective: Objective, data: Data, plan: Plan, *, name: str = "training"
    ) -> History:
        """Train for a few steps."""
        steps = plan.epochs * plan.batches_per_epoch(len(data))
        few = _Few(data, min(len(data), _STEPS * plan.batch_size))
        epochs = math.ceil(_STEPS / max(1, plan.batches_per_epoch(len(few))))
        short = replace(plan, epochs=min(plan.epochs, epochs))
        history = super().fit(objective, few, short, name=name)
        if len(few.times) > 0:
            spent = time.monotonic() - few.times[0]
            ends = [*few.times[1:], time.monotonic()]
            each = [end - start for start, end in zip(few.times, ends, strict=True)]
            self.fits.append((spent, steps * statistics.median(each[1:] or each)))
        return history


class _Few:
    """The first items of some data, with the times at which batches were asked for."""

    def __init__(self, data: Data, count: int) -> None:
        self.data, self.count = data, count
        self.streamed = data.streamed
        self.times: list[float] = []

    def __len__(self) -> int:
        return self.count

    def batch(self, positions: Tensor) -> Any:
        self.times.append(time.monotonic())
        return self.data.batch(positions)


def estimate_seconds(
    cells: Sequence[Cell], *, cache: Path, threads: int, show: bool
) -> dict[str, float | None]:
    """Seconds that each cell should take, by its stem; None where it could not be measured.

    Args:
        cells: what is to be run.
        cache: file that measured costs are kept in.
        threads: that a cell will have.
        show: show progress on standard error.

    Raises:
        InterruptedRunError: SIGINT or SIGTERM arrived.
    """
    book = _Book(cache, {"threads": threads, "machine": provenance()["machine"]})
    with _threads(threads), Progress("estimate", len(cells), show=show) as bar:
        found = {}
        networks: dict[Path, dict[str, Any]] = {}
        for cell in cells:
            file = cell.scenario.encoder
            if file not in networks:
                networks[file] = _network(file)
            found[cell.stem] = _seconds(cell, networks[file], book)
            bar.advance()
    return found


def _seconds(cell: Cell, network: dict[str, Any], book: "_Book") -> float | None:
    """Seconds of the defence, by the number of images, and of judging what it gives."""
    settings = {k: v for k, v in asdict(cell.defense).items() if k != "seed"}
    hardware = {"device": cell.device, "precision": cell.precision}
    images = {"images": cell.scenario.images} | hardware | network
    tasks = {name: asdict(task) for name, task in cell.scenario.tasks.items()}
    aimed = cell.scenario.card.trigger is not None
    defense = book.cost(
        {"defense": cell.name, "settings": settings} | images, lambda: _measure_defense(cell)
    )
    probes = book.cost(
        {"tasks": tasks, "probes": cell.probes, "aimed": aimed} | hardware | network,
        lambda: _measure_probes(cell),
    )
    if defense is None or probes is None:
        return None
    (cost, measured_on), (judging, _) = defense, probes
    amount = (cell.ratio or cell.count or 1) / measured_on
    return cost.training * amount + cost.rest + judging.training + judging.rest


def _measure_defense(cell: Cell) -> tuple[Cost, float]:
    started = time.monotonic()
    suspect = load_encoder(cell.scenario.encoder)
    sampler = Sampler(device=cell.device, precision=cell.precision)
    cell.defense(suspect, clean_images(cell, suspect.image_size), trainer=sampler)
    return cost_of(sampler, time.monotonic() - started), cell.ratio or cell.count or 1


def _measure_probes(cell: Cell) -> tuple[Cost, float]:
    suspect = load_encoder(cell.scenario.encoder)
    costs = [
        _probe_cost(cell, name, probe, suspect)
        for name in cell.scenario.tasks
        for probe in cell.probes
    ]
    total = Cost(
        training=math.fsum(cost.training for cost in costs),
        rest=math.fsum(cost.rest for cost in costs),
    )
    return total, 1.0


def _probe_cost(cell: Cell, task: str, probe: str, suspect: Encoder) -> Cost:
    """All of it, from a few images; triggered images take as long as clean ones."""
    train, test = labelled_images(cell, task, suspect.image_size)
    few = [images.sample(count=min(_JUDGED_ON, len(images))) for images in (train, test)]
    triggered = cell.scenario.card.trigger and cell.scenario.tasks[task].target is not None
    looks = len(train) + len(test) * (2 if triggered else 1)
    sampler = Sampler(device=cell.device, precision=cell.precision)
    started = time.monotonic()
    evaluate(suspect, *few, probe=probe, trainer=sampler)
    cost = cost_of(sampler, time.monotonic() - started)
    return Cost(
        training=cost.training * len(train) / len(few[0]),
        rest=cost.rest * looks / (len(few[0]) + len(few[1])),
    )


def cost_of(sampler: Sampler, seconds: float) -> Cost:
    """The cost of work that took so many seconds with a sampler instead of a trainer."""
    return Cost(
        training=math.fsum(whole for _, whole in sampler.fits),
        rest=max(0.0, seconds - math.fsum(spent for spent, _ in sampler.fits)),
    )


def _network(file: Path) -> dict[str, Any]:
    encoder = load_encoder(file)
    return {"architecture": encoder.architecture, "image_size": encoder.image_size}


class _Book:
    """Measured costs, in memory and in a file; what could not be measured is not tried twice.

    Args:
        path: of the file; one that cannot be read is started anew.
        circumstances: what costs depend on beside the work itself.
    """

    def __init__(self, path: Path, circumstances: Mapping[str, Any]) -> None:
        self.path, self.circumstances = path, circumstances
        self.failed: set[str] = set()
        try:
            self.known: dict[str, list[float]] = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self.known = {}

    def cost(
        self, work: Mapping[str, Any], measure: Callable[[], tuple[Cost, float]]
    ) -> tuple[Cost, float] | None:
        """The cost of a piece of work and the amount it was measured on."""
        text = json.dumps({"work": work, "on": self.circumstances}, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        if key not in self.known and key not in self.failed:
            try:
                cost, amount = measure()
            except InterruptedRunError:
                raise
            except Exception:  # the cell will say what is wrong with it
                self.failed.add(key)
                return None
            self.known[key] = [cost.training, cost.rest, amount]
            write_json(self.path, self.known)
        if key in self.failed:
            return None
        training, rest, amount = self.known[key]
        return Cost(training=training, rest=rest), amount


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
