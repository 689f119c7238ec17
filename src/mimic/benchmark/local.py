"""The local executor: a process for each cell, a few at a time, each with its share of threads.

A process of its own gives every cell an honest peak of memory, and whatever kills it (a lack of
memory, a crash of a library) costs that one cell.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import cast

import torch

from mimic.benchmark.cards import ResultCard
from mimic.benchmark.cells import failed
from mimic.benchmark.cluster import Cluster
from mimic.benchmark.grid import Cell
from mimic.errors import InputError, InterruptedRunError, MimicError, RunError
from mimic.files import ensure_folder

_INTERRUPTED = InterruptedRunError.exit_code
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Local:
    """An executor of processes on this machine.

    Attributes:
        workers: cells at a time.
        threads: of each.
        logs: folder for what a cell prints, in NAME.log; removed when it ends well.
    """

    workers: int
    threads: int
    logs: Path

    def __call__(
        self, cells: Sequence[Cell], run: Callable[[Cell], ResultCard]
    ) -> Generator[tuple[Cell, ResultCard], None, None]:
        """Give cards as they come; a cell whose process died has one too.

        Raises:
            InterruptedRunError: a process was told to stop.
            MimicError: whatever `run` raised of these.
        """
        ensure_folder(self.logs)
        waiting = list(reversed(cells))
        running: dict[Connection, _Child] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    child = _Child.start(waiting.pop(), run, self)
                    running[child.connection] = child
                for ready in cast(list[Connection], wait(list(running))):
                    child = running.pop(ready)
                    yield child.cell, child.card()
        finally:
            _stop([child.process for child in running.values()])


def local(workers: int | None, logs: Path, cluster: Cluster | None = None) -> Local:
    """A local executor with a fair share of the machine for each of its processes.

    Args:
        workers: cells at a time; None is one for every two cores.
        logs: folder for what cells print.
        cluster: must be None.

    Raises:
        InputError: workers is below 1, or there is a cluster.
    """
    if cluster is not None:
        raise InputError(
            "the executor 'local' takes no address, CPUs or GPUs; choose --executor ray"
        )
    if workers is not None and workers < 1:
        raise InputError(f"the number of workers must be 1 or more, not {workers}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = workers or max(1, (cores or 1) // 2)
    share = max(1, (cores or 1) // count)
    # not more than torch would take for itself: a user may have told it to be modest
    return Local(workers=count, threads=min(share, torch.get_num_threads()), logs=logs)


@dataclass(frozen=True, kw_only=True)
class _Child:
    """A process with its cell and the end of a pipe that its card comes through."""

    cell: Cell
    process: SpawnProcess
    connection: Connection
    log: Path

    @classmethod
    def start(cls, cell: Cell, run: Callable[[Cell], ResultCard], executor: Local) -> "_Child":
        log = executor.logs / f"{cell.stem}.log"
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(
            target=_work, args=(cell, run, executor.threads, theirs, str(log)), daemon=True
        )
        # the child starts with the terminal's Ctrl-C blocked: it is told to stop by us
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return cls(cell=cell, process=process, connection=ours, log=log)

    def card(self) -> ResultCard:
        """What the process sent, or a card that says how it died."""
        try:
            card = self.connection.recv()
        except EOFError:
            card = None
        self.connection.close()
        self.process.join()
        if isinstance(card, MimicError):
            raise card
        if isinstance(card, ResultCard):
            if not card.failed:
                self.log.unlink(missing_ok=True)
            return card
        code = self.process.exitcode
        if code == _INTERRUPTED:
            raise InterruptedRunError(f"cell '{self.cell.stem}' was told to stop")
        return failed(self.cell, RunError(f"its process {_cause(code)}; see '{self.log}'"))


def _cause(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with code {code}"
    hint = ", as it happens where memory is short" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code}{hint}"


def _stop(processes: Sequence[SpawnProcess]) -> None:
    """Ask all to save and end; kill those that do not."""
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_PATIENCE_SECONDS)
    finally:
        for process in processes:
            process.kill()


def _work(
    cell: Cell,
    run: Callable[[Cell], ResultCard],
    threads: int,
    connection: Connection,
    log: str,
) -> None:
    """What a process does: one cell."""
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _print_to(log)
        torch.set_num_threads(threads)
        connection.send(run(cell))
    except (KeyboardInterrupt, InterruptedRunError):
        sys.exit(_INTERRUPTED)
    except MimicError as error:
        connection.send(error)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _print_to(log: str) -> None:
    """Standard output and standard error of this process go to a file."""
    with Path(log).open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
