"""Executors by name: who runs cells, and where. A new one is one file and one line here."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Protocol

from mimic.benchmark.cards import ResultCard
from mimic.benchmark.cluster import Cluster
from mimic.benchmark.grid import Cell
from mimic.benchmark.local import local
from mimic.benchmark.ray_executor import ray_executor


class Executor(Protocol):
    """Runs cells wherever it likes and in any order.

    Attributes:
        workers: cells at a time.
        threads: of each.
    """

    @property
    def workers(self) -> int: ...

    @property
    def threads(self) -> int: ...

    def __call__(
        self, cells: Sequence[Cell], run: Callable[[Cell], ResultCard]
    ) -> Generator[tuple[Cell, ResultCard], None, None]:
        """Give each cell with its card as soon as that is there.

        Closing the generator stops what is running, with its state saved.

        Args:
            cells: what to run.
            run: runs one cell, and fails only where none can be run: by being interrupted, or by a
                MimicError that is to be raised here; it can be pickled.
        """


EXECUTORS: dict[str, Callable[[int | None, Path, Cluster | None], Executor]] = {
    "local": local,
    "ray": ray_executor,
}
"""From the number of cells at a time (None: as many as fit), a folder for logs, and a cluster."""
