"""Running a benchmark: what has no card yet is run, and each card is written when it is there."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mimic.benchmark.cards import CARDS, ResultCard, read_result, write_result
from mimic.benchmark.cells import forget, run_cell
from mimic.benchmark.cluster import Cluster
from mimic.benchmark.config import Bench, read_config
from mimic.benchmark.estimate import estimate_seconds
from mimic.benchmark.executors import EXECUTORS, Executor
from mimic.benchmark.grid import Cell, differing, expand
from mimic.benchmark.progress import GridProgress
from mimic.benchmark.schema import check_names
from mimic.errors import InputError, InterruptedRunError
from mimic.files import expanded
from mimic.lock import locked
from mimic.training.precision import open_fabric

WORK, LOGS, ESTIMATES, CONTROLS = "work", "logs", "estimates.json", "controls"
LOCK = "bench.lock"


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is about to be run.

    Attributes:
        cells: all of the grid.
        cards: those that are there, by the stem of their cell; failed ones too.
        todo: cells that will be run.
        workers: cells at a time.
        threads: of each.
        seconds: that each cell to be run should take, by its stem; None where nobody knows.
    """

    cells: tuple[Cell, ...]
    cards: Mapping[str, ResultCard]
    todo: tuple[Cell, ...]
    workers: int
    threads: int
    seconds: Mapping[str, float | None] = field(default_factory=dict)


def run_bench(
    config: str | Path | Bench,
    folder: str | Path,
    *,
    executor: str | Executor = "local",
    workers: int | None = None,
    cluster: Cluster | None = None,
    retry_failed: bool = False,
    confirm: Callable[[Outlook], bool] | None = None,
    progress: bool = False,
) -> tuple[ResultCard, ...]:
    """Run every cell of a benchmark that has no card yet.

    A script that calls this needs `if __name__ == "__main__":` around the call, since processes
    that run cells import it.

    Args:
        config: a TOML file, or what `read_config` made of one.
        folder: where cards and purified encoders go (DIR/cards), and checkpoints until then
            (DIR/work).
        executor: a name of `EXECUTORS`, or one of your own.
        workers: cells at a time, for an executor given by name; None lets it choose.
        cluster: where the executor "ray" runs cells, and what each of them takes; likewise.
        retry_failed: run cells again whose card holds an error.
        confirm: is shown what is about to be run, with an estimate of the time, and says whether to
            start; without it nothing is estimated.
        progress: show progress on standard error.

    Returns:
        The cards of the grid, in its order: one for each cell, unless the start was refused.

    Raises:
        InputError: the configuration is wrong, a suspect is not the file of its card, the folder is
            in use, holds a card of that name with other settings, or cannot be written.
        RunError: the disk is full; no training is lost, and the same call goes on.
        InterruptedRunError: Ctrl-C, or what the program takes for it; cells have saved their state,
            and the same call goes on.
    """
    bench = config if isinstance(config, Bench) else read_config(config)
    open_fabric(bench.device, bench.precision)
    for scenario in bench.scenarios:
        scenario.check()
    cells, folder = expand(bench), expanded(folder)
    if isinstance(executor, str):
        check_names([executor], EXECUTORS, "executor", "mimic bench")
        executor = EXECUTORS[executor](workers, folder / LOGS, cluster)
    with locked(folder / LOCK, "mimic bench"):
        cards = _known_cards(cells, folder)
        outlook = _outlook(cells, cards, executor, retry_failed=retry_failed)
        try:
            if confirm is not None:
                outlook = _estimated(outlook, folder, show=progress)
            if confirm is None or confirm(outlook):
                _run(outlook, cards, executor, folder, keep=bench.keep_encoders, show=progress)
        except (KeyboardInterrupt, InterruptedRunError) as error:
            raise InterruptedRunError(
                f"interrupted; {len(cards)} of {len(cells)} cells have a card in "
                f"'{folder / CARDS}', and the same command goes on"
            ) from error
    return tuple(cards[cell.stem] for cell in cells if cell.stem in cards)


def _outlook(
    cells: tuple[Cell, ...],
    cards: Mapping[str, ResultCard],
    executor: Executor,
    *,
    retry_failed: bool,
) -> Outlook:
    done = {stem for stem, card in cards.items() if not (card.failed and retry_failed)}
    return Outlook(
        cells=cells,
        cards=dict(cards),
        todo=tuple(cell for cell in cells if cell.stem not in done),
        workers=executor.workers,
        threads=executor.threads,
    )


def _run(
    outlook: Outlook,
    cards: dict[str, ResultCard],
    executor: Executor,
    folder: Path,
    *,
    keep: bool,
    show: bool,
) -> None:
    """Run what is to be done and add its cards, on disk and to `cards`."""
    seconds = {cell.stem: outlook.seconds.get(cell.stem) for cell in outlook.todo}
    work = folder / WORK
    lock = (folder / LOCK).read_text("utf-8")
    run = partial(_run_cell, folder=folder.absolute(), lock=lock, keep=keep)
    with (
        closing(executor(outlook.todo, run)) as finished,
        GridProgress(seconds, show=show) as bar,
    ):
        for cell, card in finished:
            write_result(_path(folder, cell), card)
            cards[cell.stem] = card
            if not card.failed:
                forget(cell, work)
            bar.advance(cell.stem, card)
    for empty in (work, folder / LOGS):
        with suppress(OSError):  # not empty, or never made
            empty.rmdir()


def _run_cell(cell: Cell, *, folder: Path, lock: str, keep: bool) -> ResultCard:
    """Run a cell on whatever machine this is.

    Args:
        cell: what to run.
        folder: of the benchmark. A machine that does not see it keeps checkpoints in a temporary
            folder, so that a cell that is stopped there starts anew, and no encoder.
        lock: what is written in the lock of that folder, to know it by.
        keep: whether the purified encoder is kept.
    """
    try:
        seen = (folder / LOCK).read_text("utf-8") == lock
    except OSError:
        seen = False
    if seen:
        keeping = folder / CARDS if keep else None
        return run_cell(cell, work=folder / WORK, keep=keeping, controls=folder / CONTROLS)
    with TemporaryDirectory(prefix="mimic-") as elsewhere:
        return run_cell(cell, work=Path(elsewhere, WORK), controls=Path(elsewhere, CONTROLS))


def _estimated(outlook: Outlook, folder: Path, *, show: bool) -> Outlook:
    seconds = estimate_seconds(
        outlook.todo, cache=folder / ESTIMATES, threads=outlook.threads, show=show
    )
    return replace(outlook, seconds=seconds)


def _known_cards(cells: Sequence[Cell], folder: Path) -> dict[str, ResultCard]:
    """Cards of these cells that are there; damaged ones are set aside.

    Raises:
        InputError: a card is of a cell with other settings.

    Warns:
        UserWarning: a card cannot be read.
    """
    found = {}
    for cell in cells:
        path = _path(folder, cell)
        if not path.exists():
            continue
        try:
            card = read_result(path)
        except InputError as error:
            aside = path.with_suffix(".broken")
            path.replace(aside)
            warnings.warn(
                f"{error}; it is set aside as '{aside.name}', and its cell is run again",
                UserWarning,
                stacklevel=2,
            )
            continue
        if other := differing(card, cell):
            raise InputError(
                f"'{path}' is the card of a run with {other}; give the defence another label, "
                "choose another folder, or delete the card"
            )
        if not card.failed:
            forget(cell, folder / WORK)
        found[cell.stem] = card
    return found


def _path(folder: Path, cell: Cell) -> Path:
    return folder / CARDS / f"{cell.stem}.json"
