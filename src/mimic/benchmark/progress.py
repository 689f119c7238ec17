"""Progress of a grid on standard error: cells done and failed, and the time that is left."""

import math
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from mimic.benchmark.cards import ResultCard


def duration(seconds: float) -> str:
    """Seconds for people: "45 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


class GridProgress(AbstractContextManager["GridProgress"]):
    """A bar on a terminal and a line for each cell; a context that stops drawing at its end.

    Args:
        estimates: seconds that each cell should take, by its number; None where nobody knows.
        show: False shows nothing.
    """

    def __init__(self, estimates: Mapping[str, float | None], *, show: bool) -> None:
        known = [seconds for seconds in estimates.values() if seconds is not None]
        usual = math.fsum(known) / len(known) if known else 1.0
        self.left = {name: usual if s is None else s for name, s in estimates.items()}
        self.total, self.failed = len(self.left), 0
        self.weight, self.started = math.fsum(self.left.values()), time.monotonic()
        self.show = show
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = ("{task.description}", "{task.fields[failed]} failed", "{task.fields[left]}")
        self.bar = RichProgress(
            TextColumn(columns[0]),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(columns[1]),
            TimeElapsedColumn(),
            TextColumn(columns[2]),
            console=self.console,
            disable=not show or not sys.stderr.isatty(),
        )
        self.task = self.bar.add_task("cells", total=self.total, failed=0, left="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_reason: object) -> None:
        self.bar.stop()

    def advance(self, stem: str, card: ResultCard) -> None:
        """Count the cell that this card is of."""
        self.left.pop(stem)
        self.failed += card.failed
        left = f"about {duration(self.seconds_left())} left" if self.left else ""
        self.bar.update(self.task, advance=1, failed=self.failed, left=left)
        if self.show:
            done = self.total - len(self.left)
            parts = [f"[{done}/{self.total}] {told(card)}", *([left] if left else [])]
            self.bar.console.print(escape(", ".join(parts)))

    def seconds_left(self) -> float:
        """What is left by the estimates, at the pace so far."""
        left = math.fsum(self.left.values())
        done = self.weight - left
        return (time.monotonic() - self.started) * left / max(done, 1e-9)


def told(card: ResultCard) -> str:
    """One line about a card."""
    what = f"{card.scenario}, {card.label}, {card.amount}, seed {card.seed}"
    if card.error is not None:
        return f"{what}: failed, {card.error.type}: {card.error.message:.200}"
    return f"{what}: {duration(card.seconds + card.evaluation_seconds)}"
