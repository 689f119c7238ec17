"""`mimic demo`: the whole story on embedded data, in a few minutes."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from mimic.cli.options import Folder, HardwareOptions, Seed
from mimic.cli.output import Command, Result, line, table
from mimic.files import expanded


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Show the whole story on embedded data: train, attack, purify, evaluate. Takes a few minutes.

    Attributes:
        out: where the encoders and the report go; an interrupted demo goes on from there.
        seed: decides everything random.
    """

    out: Folder = "mimic-demo"
    seed: Seed = 0
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Run the demo."""
        from mimic.demo import run_demo

        out = expanded(self.out)
        data = run_demo(out, seed=self.seed, trainer=self.hardware.trainer()).as_dict()
        return Result(data=data, show=lambda console: _show(console, data))


def _show(console: Console, data: dict[str, Any]) -> None:
    rows = table("encoder", "accuracy (%)", "attack success (%)")
    for encoder in data["encoders"]:
        attacked = encoder["attack_success_rate"]
        rows.add_row(
            encoder["name"],
            f"{100 * encoder['accuracy']:.1f}",
            "" if attacked is None else f"{100 * attacked:.1f}",
        )
    console.print(rows)
    for rule, holds in data["checks"].items():
        line(console, f"{'yes' if holds else 'NO '}  {rule}")
    line(console, f"  {data['report']}  the report, {data['seconds']:.0f} s in all")
