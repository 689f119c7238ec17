"""`mimic bench`: many defences on many attacks, under one protocol, a card for each run."""

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from mimic.cli.options import Folder, given
from mimic.cli.output import Command, Result, line, table
from mimic.files import expanded

if TYPE_CHECKING:
    from mimic.benchmark import Cluster, Outlook, ResultCard
    from mimic.benchmark.grid import Cell


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    """Compare defences: run each of them on each scenario, and write a card for each run.

    What has a card in DIR already is not run again, so that the same command goes on after an
    interruption. Ends with code 1 if a run failed; its card holds the error.

    Attributes:
        config: a TOML file that names scenarios, defences, amounts of clean images and seeds.
        out: where cards go, in DIR/cards. Checkpoints are kept in DIR/work until then.
        executor: who runs: local, which is processes on this machine, or ray, which is a Ray
            cluster of one machine or many.
        workers: runs at a time.
        address: of a Ray cluster, or auto for the one that this machine is in; by default one is
            started on this machine, for as long as it takes.
        cpus: of each run in a Ray cluster, and its threads.
        gpus: of each run in a Ray cluster: a share of one, such as 0.5, or a whole number.
        retry_failed: run again what failed before.
        yes: do not ask before it starts.
    """

    config: Annotated[Positional[str], arg(metavar="CONFIG")]
    out: Folder
    executor: Annotated[str, arg(metavar="NAME")] = "local"
    workers: Annotated[
        int | None,
        arg(metavar="N", help_behavior_hint="(default: as many as fit)"),
    ] = None
    address: Annotated[
        str | None, arg(metavar="HOST:PORT", help_behavior_hint="(default: none)")
    ] = None
    cpus: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    gpus: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    retry_failed: bool = False
    yes: bool = False

    def run(self) -> Result:
        """Show what there is to do, ask, and run it."""
        from mimic.benchmark import run_bench

        asked = not self.yes and not self.json and sys.stdin.isatty()
        cells: list[int] = []

        def confirm(outlook: "Outlook") -> bool:
            show_outlook(outlook, Console(file=sys.stderr, highlight=False))
            agreed = not outlook.todo or not asked or _agrees()
            cells[:] = [len(outlook.cells), len(outlook.todo) if agreed else 0]
            return agreed

        cards = run_bench(
            self.config,
            self.out,
            executor=self.executor,
            workers=self.workers,
            cluster=self._cluster(),
            retry_failed=self.retry_failed,
            confirm=confirm,
            progress=True,
        )
        total, ran = cells
        failed = [card for card in cards if card.failed]
        folder = str(expanded(self.out) / "cards")
        data = {
            "cards": folder,
            "cells": total,
            "ran": ran,
            "done": len(cards) - len(failed),
            "failed": [_named(card) for card in failed],
        }

        def show(console: Console) -> None:
            line(
                console,
                f"{data['done']} of {data['cells']} cells are done, {len(failed)} failed; "
                f"{data['ran']} ran now. Cards are in '{folder}'.",
            )
            for card in failed:
                _show_failure(console, card)

        return Result(data=data, show=show, exit_code=1 if failed else 0)

    def _cluster(self) -> "Cluster | None":
        """What was said about one."""
        from mimic.benchmark import Cluster

        settings = given(address=self.address, cpus=self.cpus, gpus=self.gpus)
        return Cluster(**settings) if settings else None


def show_outlook(outlook: "Outlook", console: Console) -> None:
    """The grid as tables: cells and time by scenario and by defence, and in all."""
    if outlook.todo:
        console.print(_rows("scenario", outlook, lambda cell: cell.scenario.name))
        console.print(_rows("defence", outlook, lambda cell: cell.label))
    failed = sum(card.failed for card in outlook.cards.values())
    parts = [f"{len(outlook.cells)} cells", f"{len(outlook.cards) - failed} done"]
    if failed:
        parts.append(f"{failed} failed before")
    parts.append(f"{len(outlook.todo)} to run")
    if outlook.todo:
        parts.append(f"{outlook.workers} at a time with {outlook.threads} thread(s) each")
        parts.append(f"about {_time(outlook, outlook.todo, share=outlook.workers)}")
    line(console, ", ".join(parts) + ".")


def _rows(what: str, outlook: "Outlook", key: "Callable[[Cell], str]") -> Table:
    """A row for each name that cells have by `key`."""
    rows = table(what, "cells", "to run", "time of one", "time of all")
    names = dict.fromkeys(key(cell) for cell in outlook.cells)
    for name in names:
        todo = [cell for cell in outlook.todo if key(cell) == name]
        rows.add_row(
            escape(name),
            str(sum(key(cell) == name for cell in outlook.cells)),
            str(len(todo)),
            _time(outlook, todo, share=len(todo)),
            _time(outlook, todo, share=1),
        )
    return rows


def _time(outlook: "Outlook", cells: "Iterable[Cell]", *, share: int) -> str:
    """Time of some cells on `share` workers, as far as it is known."""
    from mimic.benchmark.progress import duration

    seconds = [outlook.seconds.get(cell.stem) for cell in cells]
    known = [value for value in seconds if value is not None]
    if not seconds:
        return ""
    if not known:
        return "unknown"
    mean = math.fsum(known) / len(known)  # stands for those that nobody knows
    remark = "" if len(known) == len(seconds) else " (some unknown)"
    return duration(mean * len(seconds) / share) + remark


def _agrees() -> bool:
    try:
        return input("Start? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _named(card: "ResultCard") -> dict[str, object]:
    return {
        "scenario": card.scenario,
        "label": card.label,
        "ratio": card.ratio,
        "count": card.count,
        "seed": card.seed,
        "error": None if card.error is None else f"{card.error.type}: {card.error.message}",
    }


def _show_failure(console: Console, card: "ResultCard") -> None:
    from mimic.benchmark.progress import told

    line(console, f"  {told(card)}")
