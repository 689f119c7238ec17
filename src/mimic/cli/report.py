"""`mimic report`: the leaderboard page of a benchmark."""

from dataclasses import dataclass
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from mimic.cli.output import Command, Result, line

PAGE, FACTS = "leaderboard.html", "leaderboard.json"


@dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Draw the leaderboard of a benchmark: one page, readable everywhere, nothing to fetch.

    Attributes:
        folder: what 'mimic bench --out' named; leaderboard.html and leaderboard.json go there.
    """

    folder: Annotated[Positional[str], arg(metavar="DIR")]

    def run(self) -> Result:
        """Read the cards and write both files."""
        from mimic.files import expanded, write_json, write_text
        from mimic.report.leaderboard import read_leaderboard, render_leaderboard

        folder = expanded(self.folder)
        board = read_leaderboard(folder)
        facts = board.as_dict()
        write_text(folder / PAGE, render_leaderboard(board))
        write_json(folder / FACTS, facts)
        data: dict[str, Any] = {
            "report": str(folder / PAGE),
            "facts": str(folder / FACTS),
            **facts,
        }

        def show(console: Console) -> None:
            failed = f", {len(board.failures)} of them failed" if board.failures else ""
            line(
                console,
                f"{_count(board.cards, 'cell')}{failed}: "
                f"{_count(len(board.entrants), 'defence')} against "
                f"{_count(len(board.scenarios), 'scenario')}.",
            )
            for remark in board.remarks:
                line(console, f"  {remark}")
            line(console, f"  {folder / PAGE}  the leaderboard")
            line(console, f"  {folder / FACTS}  every number of it")

        return Result(data=data, show=show)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
