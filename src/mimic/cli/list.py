"""`mimic list`: what there is, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from mimic.cli.output import Command, Result

Kind = Literal["attacks", "defenses", "pretraining", "estimators", "architectures", "datasets"]


@dataclass(frozen=True, kw_only=True)
class List(Command):
    """List what there is, by name.

    Attributes:
        kind: attacks, defenses, pretraining, estimators, architectures or datasets.
    """

    kind: Annotated[Positional[Kind], arg(metavar="KIND")]

    def run(self) -> Result:
        """Look it up."""
        items = [{"name": k, "summary": v} for k, v in summaries(self.kind).items()]

        def show(console: Console) -> None:
            rows = Table()
            rows.add_column("name", no_wrap=True)
            rows.add_column("summary")
            for item in items:
                rows.add_row(item["name"], item["summary"])
            console.print(rows)

        return Result(data={"items": items}, show=show)


def summaries(kind: Kind) -> Mapping[str, str]:
    """One line for each member of a kind, by name."""
    if kind == "defenses":
        from mimic.defenses import SUMMARIES

        return SUMMARIES
    return {name: member.summary for name, member in _members(kind).items()}


def _members(kind: Kind) -> Mapping[str, Any]:
    if kind == "attacks":
        from mimic.attacks import ATTACKS

        return ATTACKS
    if kind == "pretraining":
        from mimic.pretraining import METHODS

        return METHODS
    if kind == "estimators":
        from mimic.information import ESTIMATORS

        return ESTIMATORS
    if kind == "architectures":
        from mimic.encoders.architectures import ARCHITECTURES

        return ARCHITECTURES
    from mimic.images import DATASETS

    return DATASETS
