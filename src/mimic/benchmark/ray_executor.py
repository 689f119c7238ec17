"""The Ray executor: cells are tasks of a Ray cluster, on one machine or on many.

Each has a process of its own, as with the local executor. Cards come back to the process that
asked for them, which alone writes: a machine that is lost takes no card with it, and what ran there
is run again on another one.
"""

import io
import os
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch

from mimic.benchmark.cards import ResultCard
from mimic.benchmark.cells import failed
from mimic.benchmark.cluster import Cluster, joined
from mimic.benchmark.grid import Cell
from mimic.errors import InputError, InterruptedRunError, MimicError, RunError
from mimic.files import write_text
from mimic.training.interruption import watch_signals

_ATTEMPTS = 3
"""So many machines or processes may be lost under a cell before it counts as failed."""
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 2.0
"""After so much silence the machines are counted again."""
_LOG_CHARACTERS = 100_000
_LOST = f"its process or machine was lost {_ATTEMPTS} times; the last time: {{}}"


@dataclass(frozen=True, kw_only=True)
class RayExecutor:
    """An executor of tasks of a Ray cluster.

    Attributes:
        workers: cells at a time.
        cluster: where.
        logs: folder for what a cell prints, in NAME.log; only if it fails.
    """

    workers: int
    cluster: Cluster
    logs: Path

    @property
    def threads(self) -> int:
        """Of each cell."""
        return self.cluster.cpus

    def __call__(
        self, cells: Sequence[Cell], run: Callable[[Cell], ResultCard]
    ) -> Generator[tuple[Cell, ResultCard], None, None]:
        """Give cards as they come; a cell whose machine is lost again and again has one too.

        Raises:
            InputError: the cluster cannot be reached, or cells want a GPU and get none.
            RunError: there is no machine left that a cell fits on.
            MimicError: whatever `run` raised of these.
        """
        if not self.cluster.gpus and any(cell.device.startswith("cuda") for cell in cells):
            raise InputError(
                "the configuration wants the device 'cuda': say how many GPUs a cell gets, as in "
                "--gpus 1"
            )
        if cells:
            with joined(self.cluster) as ray:
                yield from self._run(ray, cells, run)

    def _run(
        self, ray: ModuleType, cells: Sequence[Cell], run: Callable[[Cell], ResultCard]
    ) -> Generator[tuple[Cell, ResultCard], None, None]:
        # one call for each process makes its peak of memory that of the cell
        start = ray.remote(
            max_calls=1, max_retries=0, num_cpus=self.cluster.cpus, num_gpus=self.cluster.gpus
        )(_work).remote
        waiting = [(cell, 1) for cell in reversed(cells)]
        running: dict[Any, tuple[Cell, int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    cell, attempt = waiting.pop()
                    running[start(cell, run, self.cluster)] = cell, attempt
                ready = _finished(ray, list(running))
                if not ready and not self.cluster.room(ray):
                    raise RunError(f"no machine is left with {self.cluster.share}; add one again")
                for task in ready:
                    cell, attempt = running.pop(task)
                    try:
                        card, printed = _answer(ray, task, cell)
                    except _LostError as loss:
                        if attempt < _ATTEMPTS:
                            waiting.append((cell, attempt + 1))
                            continue
                        card, printed = failed(cell, RunError(_LOST.format(loss))), ""
                    self._log(card, cell, printed)
                    yield cell, card
        finally:
            _stop(ray, list(running))

    def _log(self, card: ResultCard, cell: Cell, printed: str) -> None:
        """Keep what a failed cell printed, and drop what it printed when it failed before."""
        log = self.logs / f"{cell.stem}.log"
        if card.failed and printed:
            write_text(log, printed)
        else:
            log.unlink(missing_ok=True)


class _LostError(Exception):
    """The process of a cell is gone, or was told to stop by somebody else."""


def ray_executor(workers: int | None, logs: Path, cluster: Cluster | None = None) -> RayExecutor:
    """A Ray executor for as many cells at a time as fit.

    Args:
        workers: cells at a time, if that is less.
        logs: folder for what failed cells print.
        cluster: where, and what each cell takes; None is a cluster on this machine.

    Raises:
        InputError: Ray is not installed, the cluster cannot be reached, a cell fits on none of its
            machines, or workers is below 1.
    """
    if workers is not None and workers < 1:
        raise InputError(f"the number of workers must be 1 or more, not {workers}")
    cluster = cluster or Cluster()
    room = cluster.outlook()
    if not room:
        raise InputError(f"no machine has {cluster.share}; ask for less with --cpus or --gpus")
    return RayExecutor(workers=min(workers or room, room), cluster=cluster, logs=logs)


def _work(
    cell: Cell, run: Callable[[Cell], ResultCard], cluster: Cluster
) -> tuple[ResultCard, str] | None:
    """What a process of the cluster does: one cell. None if it was told to stop."""
    if not cluster.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # versions of Ray differ on this
    # A shell's background job ignores SIGINT, and so would every process that Ray makes for it; but
    # SIGINT is what a cancellation is made of.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(cluster.cpus)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            card = run(cell)
    except (KeyboardInterrupt, InterruptedRunError):
        return None
    return card, printed.getvalue()[-_LOG_CHARACTERS:] if card.failed else ""


def _answer(ray: ModuleType, task: Any, cell: Cell) -> tuple[ResultCard, str]:
    """The card of a cell and what it printed.

    Raises:
        _LostError: there is none, and another process may well give one.
        MimicError: no cell can be run.
    """
    try:
        answer: tuple[ResultCard, str] | None = ray.get(task)
    except ray.exceptions.RayTaskError as error:  # such as a machine without mimic
        if isinstance(error.cause, MimicError):
            raise error.cause from error
        return failed(cell, error.cause or error), str(error)
    except ray.exceptions.RayError as error:
        raise _LostError(f"{type(error).__name__}, {str(error).partition(chr(10))[0]}") from error
    if answer is None:
        raise _LostError("it was told to stop")
    return answer


def _finished(ray: ModuleType, tasks: list[Any]) -> list[Any]:
    """Tasks that have ended, after a while perhaps none.

    Raises:
        KeyboardInterrupt: somebody asked to stop.
    """
    # an exception that a signal raises inside of Ray's own code may be swallowed there
    with watch_signals() as interruption:
        ready, _ = ray.wait(tasks, timeout=_LOOK_SECONDS)
    if interruption.requested:
        raise KeyboardInterrupt
    return cast(list[Any], ready)


def _stop(ray: ModuleType, tasks: list[Any]) -> None:
    """Ask all to save and end; kill those that do not."""
    if not tasks:
        return
    try:
        for task in tasks:
            ray.cancel(task)
        ray.wait(tasks, num_returns=len(tasks), timeout=_PATIENCE_SECONDS)
    finally:
        for task in tasks:
            ray.cancel(task, force=True)
