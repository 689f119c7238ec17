"""What a training did: one record per epoch, kept in the checkpoint and shown as JSON lines."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from mimic.errors import RunError
from mimic.files import write_text

_NOT_TERMS = {"epoch", "step", "learning_rate", "images_per_second", "seconds"}
"""What `Tally.record` writes down beside the terms of the loss."""


@dataclass
class History:
    """What a training did.

    Attributes:
        epochs: one record per epoch: mean of each loss term, learning rate, images_per_second.
        seconds: time spent in training, earlier parts of a resumed run included.
        images_per_second: over the whole training.
        steps: steps of the optimizer.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    images_per_second: float = 0.0
    steps: int = 0

    def summarize(self, steps: int) -> None:
        """Fill in the totals from the records of the epochs."""
        self.steps = steps
        self.seconds = sum(record["seconds"] for record in self.epochs)
        images = sum(record["seconds"] * record["images_per_second"] for record in self.epochs)
        self.images_per_second = images / max(self.seconds, 1e-9)

    def curves(self) -> dict[str, tuple[float, ...]]:
        """The value of each term of the loss in each epoch."""
        terms = [name for name in (self.epochs or [{}])[0] if name not in _NOT_TERMS]
        return {name: tuple(record[name] for record in self.epochs) for name in terms}


@dataclass
class Tally:
    """Sums over the part of the current epoch that is done.

    Attributes:
        sums: of each term of the loss, over images.
        images: seen in this epoch.
        seconds: spent in this epoch.
    """

    sums: dict[str, float] = field(default_factory=dict)
    images: int = 0
    seconds: float = 0.0

    def add(self, terms: dict[str, float], images: int, seconds: float) -> None:
        """Count one step, whose `terms` are means over `images` images."""
        for term, value in terms.items():
            self.sums[term] = self.sums.get(term, 0.0) + value * images
        self.images += images
        self.seconds += seconds

    @property
    def loss(self) -> float:
        """Mean of the whole loss so far in this epoch."""
        return sum(self.sums.values()) / max(self.images, 1)

    def record(self, *, epoch: int, step: int, learning_rate: float) -> dict[str, float]:
        """The record of a finished epoch."""
        means = {term: value / self.images for term, value in self.sums.items()}
        seconds = max(self.seconds, 1e-9)
        return {
            "epoch": epoch,
            "step": step,
            **means,
            "learning_rate": learning_rate,
            "images_per_second": self.images / seconds,
            "seconds": seconds,
        }


def write_records(path: Path, records: list[dict[str, float]]) -> None:
    """Replace the metrics file by these records, one JSON object per line, atomically."""
    write_text(path, "".join(json.dumps(record) + "\n" for record in records))


def append_record(path: Path, record: dict[str, float]) -> None:
    """Add one line to the metrics file.

    A line that a crash cut short does no harm: a resumed run writes the file anew from the
    checkpoint.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise RunError(f"cannot write '{path}': {error.strerror or error}") from error
