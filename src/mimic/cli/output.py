"""What a command says: its result on standard output, everything else on standard error."""

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from mimic.errors import RunError
from mimic.text import printable

_NAMED_AT_MOST = 10


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command found.

    Attributes:
        data: plain values for JSON.
        show: prints the same for people.
        exit_code: 0 done or clean, 1 a finding.
    """

    data: dict[str, Any]
    show: Callable[[Console], None]
    exit_code: int = 0


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """A command: its options are its fields.

    Attributes:
        json: print one JSON object on standard output and nothing else there; after a failure
            nothing is printed there, see the exit code.
    """

    json: bool = False

    @abstractmethod
    def run(self) -> Result:
        """Do the work. Standard output is closed to it: what it prints goes to standard error."""


def speaks() -> bool:
    """Whether this process tells what was found: the first one, where torchrun started several."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def publish(result: Result, *, as_json: bool) -> None:
    """Print a result on standard output; of several processes the first one does.

    Raises:
        RunError: a number of it is not finite, which JSON cannot say.
    """
    if not speaks():
        return
    if as_json:
        try:
            print(json.dumps(result.data, allow_nan=False))
        except ValueError as error:
            raise RunError(f"a number of the result is not finite: {result.data}") from error
    else:
        result.show(Console(highlight=False))
    sys.stdout.flush()


def say(kind: str, text: str) -> None:
    """One line on standard error; `kind` is "error", "warning" or "note".

    Of several processes every one tells its errors, and the first one everything else.
    """
    if kind != "error" and not speaks():
        return
    print(f"mimic: {kind}: {printable(' '.join(text.split()))}", file=sys.stderr, flush=True)


def note_skipped(skipped: Sequence[str], name: str) -> None:
    """Tell which files of a source could not be read, if any."""
    if not skipped:
        return
    more = len(skipped) - _NAMED_AT_MOST
    named = "; ".join(skipped[:_NAMED_AT_MOST]) + (f"; and {more} more" if more > 0 else "")
    what = "1 image" if len(skipped) == 1 else f"{len(skipped)} images"
    say("note", f"skipped {what} of '{name}' that cannot be read: {named}")


def line(console: Console, text: str = "") -> None:
    """A line for people: no markup, paths are never broken, and nothing steers the terminal."""
    console.print(printable(text), markup=False, soft_wrap=True)


def table(*columns: str) -> Table:
    """An empty table; the first column holds names, the others numbers."""
    made = Table()
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if index else "left", overflow="fold")
    return made


def stage_table(stages: Sequence[dict[str, Any]]) -> Table:
    """The stages of an encoder as `Localization.as_dict` describes them."""
    made = table("stage", "mutual information (nats)", "weight")
    for stage in stages:
        nats, error = stage["mutual_information"], stage["standard_error"]
        made.add_row(stage["name"], f"{nats:.3f} ± {error:.3f}", f"{stage['weight']:.3f}")
    return made
