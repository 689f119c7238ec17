"""`mimic zoo`: encoders to measure against, clean and attacked."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from mimic.cli.options import HardwareOptions
from mimic.cli.output import Command, Result, line, table
from mimic.errors import InputError

if TYPE_CHECKING:
    from mimic.zoo import Card


@dataclass(frozen=True, kw_only=True)
class Zoo(Command):
    """Clean and attacked encoders with cards: list them, get one, or measure them again.

    Attributes:
        action: list; get NAME --out FILE; or check [NAME ...], which measures again, by nearest
            neighbours, what the cards say (all of them without a name), and ends with code 1 if a
            rate differs.
        names: of members.
        out: where get writes the encoder, a .safetensors file.
        zoo: folder of the zoo; by default what MIMIC_ZOO names, or that of a clone of mimic.
        data: folder of the images that check needs; by default what MIMIC_DATA names.
    """

    action: Annotated[Positional[Literal["list", "get", "check"]], arg(metavar="ACTION")]
    names: Annotated[
        Positional[tuple[str, ...]], arg(metavar="NAME", help_behavior_hint="(optional)")
    ] = ()
    out: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(for get)")] = None
    zoo: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="(optional)")] = None
    data: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="(for check)")] = None
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Do what is asked."""
        from mimic.zoo import find_zoo, read_zoo

        folder = find_zoo(self.zoo)
        cards = read_zoo(folder)
        for name in self.names:
            if name not in cards:
                raise InputError(
                    f"there is no member '{name}' in '{folder}'; there are {', '.join(cards)}"
                )
        if self.action == "list":
            return self._list(cards)
        if self.action == "get":
            return self._get(cards, folder)
        return self._check([cards[name] for name in self.names or cards], folder)

    def _list(self, cards: "dict[str, Card]") -> Result:
        chosen = [cards[name] for name in self.names or cards]
        data = {"members": [card.as_dict() for card in chosen]}

        def show(console: Console) -> None:
            rows = table("member", "attack", "task", "accuracy", "attack success")
            for card in chosen:
                _add_rows(rows, card)
            console.print(rows)
            for card in chosen:
                for remark in card.remarks:
                    line(console, f"{card.name}: {remark}")

        return Result(data=data, show=show)

    def _get(self, cards: "dict[str, Card]", folder: Path) -> Result:
        from mimic.cli.options import encoder_file
        from mimic.zoo.members import export_member

        if len(self.names) != 1 or self.out is None:
            raise InputError("say which one and where to: mimic zoo get NAME --out FILE")
        written = export_member(cards[self.names[0]], folder, encoder_file(self.out))
        data = {"member": self.names[0], "files": [str(path) for path in written]}

        def show(console: Console) -> None:
            for path in written:
                line(console, f"  {path}")

        return Result(data=data, show=show)

    def _check(self, cards: "list[Card]", folder: Path) -> Result:
        from mimic.zoo.check import check_member
        from mimic.zoo.members import find_data

        data, trainer = find_data(self.data), self.hardware.trainer()
        found = {
            card.name: list(check_member(card, folder, data=data, trainer=trainer))
            for card in cards
        }
        deviations = [{"member": n} | asdict(one) for n, all_of in found.items() for one in all_of]

        def show(console: Console) -> None:
            for card in cards:
                verdict = "differs" if found[card.name] else "as expected"
                line(console, f"{card.name}: {verdict}")
                for one in found[card.name]:
                    line(
                        console,
                        f"  {one.task}, {one.rate.replace('_', ' ')} by neighbours: "
                        f"{100 * one.found:.2f} %, on the card {100 * one.expected:.2f} %",
                    )

        checked: dict[str, Any] = {"checked": list(found), "deviations": deviations}
        return Result(data=checked, show=show, exit_code=1 if deviations else 0)


def _add_rows(rows: Table, card: "Card") -> None:
    from mimic.zoo.card import told_success

    title = card.attack or ("backdoored" if card.backdoored else "none (clean)")
    for index, (task, found) in enumerate(card.expected.items()):
        rows.add_row(
            escape(card.name) if index == 0 else "",
            escape(title) if index == 0 else "",
            escape(task),
            f"{100 * found['accuracy']:.1f}",
            told_success(found),
        )
