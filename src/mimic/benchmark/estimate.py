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
    networks: dict[Path, dict[str, Any]] = {}
    pieces: dict[str, tuple[_Piece, _Piece]] = {}
    for cell in cells:
        file = cell.scenario.encoder
        if file not in networks:
            networks[file] = _network(file)
        pieces[cell.stem] = _pieces(cell, networks[file], book)
    unknown = {p.key: p for both in pieces.values() for p in both if p.key not in book.known}
    with _threads(threads), Progress("estimate", len(unknown), show=show) as bar:
        for piece in unknown.values():
            book.learn(piece)
            bar.advance()
    return {stem: _seconds(both, book) for stem, both in pieces.items()}


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Work that many cells have in common.

    Attributes:
        key: it is known by.
        amount: of images, of this cell.
        measure: gives the cost and the amount it was measured on.
    """

    key: str
    amount: float
    measure: Callable[[], tuple[Cost, float]]


def _pieces(cell: Cell, network: dict[str, Any], book: "_Book") -> tuple[_Piece, _Piece]:
    """The defence, whose cost grows with the number of images, and judging what it gives."""
    settings = {k: v for k, v in asdict(cell.defense).items() if k != "seed"}
    hardware = {"device": cell.device, "precision": cell.precision}
    images = {"images": cell.scenario.images} | hardware | network
    tasks = {name: asdict(task) for name, task in cell.scenario.tasks.items()}
    aimed = cell.scenario.card.trigger is not None
    return (
        _Piece(
            key=book.key({"defense": cell.name, "settings": settings} | images),
            amount=cell.ratio or cell.count or 1,
            measure=lambda: _measure_defense(cell),
        ),
        _Piece(
            key=book.key(
                {"tasks": tasks, "probes": cell.probes, "aimed": aimed} | hardware | network
            ),
            amount=1.0,
            measure=lambda: _measure_probes(cell),
        ),
    )


def _seconds(pieces: tuple[_Piece, ...], book: "_Book") -> float | None:
    """Of all pieces together; None where one could not be measured."""
    if any(piece.key not in book.known for piece in pieces):
        return None
    costs = [(piece.amount, book.known[piece.key]) for piece in pieces]
    return math.fsum(training * amount / on + rest for amount, (training, rest, on) in costs)


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
    """Measured costs, in memory and in a file.

    Args:
        path: of the file; one that cannot be read is started anew.
        circumstances: what costs depend on beside the work itself.

    Attributes:
        known: seconds of training, other seconds, and the amount of images, by key.
    """

    def __init__(self, path: Path, circumstances: Mapping[str, Any]) -> None:
        self.path, self.circumstances = path, circumstances
        try:
            self.known: dict[str, list[float]] = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self.known = {}

    def key(self, work: Mapping[str, Any]) -> str:
        """What the cost of a piece of work is kept under."""
        text = json.dumps({"work": work, "on": self.circumstances}, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def learn(self, piece: _Piece) -> None:
        """Measure a piece of work; one that fails stays unknown, its cell says what is wrong."""
        try:
            cost, amount = piece.measure()
        except InterruptedRunError:
            raise
        except Exception:
            return
        self.known[piece.key] = [cost.training, cost.rest, amount]
        write_json(self.path, self.known)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
