"""Progress on standard error: a bar with time left on a terminal, now and then a line elsewhere."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

_LINE_EVERY_SECONDS = 30.0


class Progress:
    """Progress of one piece of work, counted in steps; a context that stops drawing at its end.

    Args:
        name: what is running.
        total: steps of the whole work.
        done: steps done before (a resumed run).
        show: False shows nothing.
    """

    def __init__(self, name: str, total: int, done: int = 0, *, show: bool = True) -> None:
        self.name, self.total, self.done = name, total, done
        self.started, self.first = time.monotonic(), done
        self.last_line = self.started
        self.bar: RichProgress | None = None
        self.lines = show and not sys.stderr.isatty()
        if show and not self.lines:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[loss]}"),
            )
            self.bar = RichProgress(*columns, console=Console(stderr=True), refresh_per_second=4)
            self.task = self.bar.add_task(name, total=total, completed=done, loss="")
            self.bar.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        self.close()

    def advance(self, loss: float | None = None) -> None:
        """Count one step; `loss` is the mean over the current epoch where there is one."""
        self.done += 1
        shown = "" if loss is None else f"loss {loss:.4f}"
        if self.bar is not None:
            self.bar.update(self.task, advance=1, loss=shown)
        elif self.lines and time.monotonic() - self.last_line > _LINE_EVERY_SECONDS:
            self.last_line = time.monotonic()
            rate = (self.done - self.first) / (self.last_line - self.started)
            left = (self.total - self.done) / max(rate, 1e-9)
            parts = [f"step {self.done} of {self.total}", shown, f"about {left:.0f} s left"]
            print(f"{self.name}: {', '.join(filter(None, parts))}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Stop drawing."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
