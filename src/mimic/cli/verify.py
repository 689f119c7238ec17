"""`mimic verify`: did a purification work?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from mimic.cli.network import EncoderOptions
from mimic.cli.options import HardwareOptions, SampleOptions, Seed, Source
from mimic.cli.output import Command, Result, line, table
from mimic.cli.references import References, calibration_by
from mimic.cli.respell import respell
from mimic.cli.runs import optional_folder


@dataclass(frozen=True, kw_only=True)
class Verify(Command):
    """Decide whether a purified encoder is to be accepted, without labels and without a trigger.

    Triggers are searched for on the old encoder and tried on the new one; the new one is scanned;
    and what it has kept is measured. Ends with code 1 unless the verdict is "accepted".

    Attributes:
        before: the suspicious encoder: a file, a folder written by mimic, or a name.
        after: the purified one, likewise.
        images: 128 or more clean images without labels, best some that the purification did not
            see.
        out: folder for report.html, which people read, the same as report.json, and verify.json.
        reference: an encoder known to be clean, of the kind of BEFORE, that the scans compare with
            in place of those that come with mimic. Give three or more.
        seed: of the searches.
        canary: implant a backdoor of our own into a copy of BEFORE, purify the copy as the manifest
            beside AFTER says, and see what is left. Takes as long as the purification did.
    """

    before: Annotated[Positional[str], arg(metavar="BEFORE")]
    after: Annotated[Positional[str], arg(metavar="AFTER")]
    images: Source
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="(optional)")] = None
    reference: References = ()
    sample: SampleOptions = field(default_factory=SampleOptions)
    seed: Seed = 0
    canary: bool = False
    network: EncoderOptions = field(default_factory=EncoderOptions)
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Verify and, where asked, write every number."""
        from mimic.cli.finished import recorded_defense
        from mimic.files import write_json
        from mimic.seeds import seed_of
        from mimic.verification.verify import chosen_images, halves, verify

        with optional_folder(self.out) as folder:
            before, after = self.network.open(self.before), self.network.open(self.after)
            chosen = seed_of("judge", self.seed)
            images = self.sample.open(self.images, size=before.image_size, seed=chosen)
            trainer = self.hardware.trainer()
            calibration = calibration_by(
                self.reference,
                halves(chosen_images(images, seed=self.seed))[0],
                network=self.network,
                image_size=before.image_size,
                seed=self.seed,
                trainer=trainer,
            )
            canary = recorded_defense(self.after) if self.canary else None
            found = verify(
                before,
                after,
                images,
                canary=canary,
                calibration=calibration,
                seed=self.seed,
                trainer=trainer,
            )
            data = found.as_dict() | {"report": None, "facts": None}
            if folder is not None:
                from mimic.report.dossier import Context, write_verification_report

                context = Context(command=respell("verify", self), seed=self.seed, trainer=trainer)
                data |= write_verification_report(
                    folder, before, after, images, found, context=context
                )
                write_json(folder / "verify.json", data)
        return Result(
            data=data,
            show=lambda console: _show(console, data),
            exit_code=0 if data["verdict"] == "accepted" else 1,
        )


def _show(console: Console, data: Mapping[str, Any]) -> None:
    line(console, f"Verdict: {data['verdict'].replace('_', ' ')}.")
    for reason in data["reasons"]:
        line(console, f"  - {reason}")
    rows = table("kept of the old encoder", "value", "95 % interval", "its own views")
    utility = data["utility"]
    for name in ("cka", "mutual_neighbours", "effective_rank", "cosine"):
        if (kept := utility[name]) is not None:
            low, high = kept["ci95"]
            rows.add_row(
                name.replace("_", " "),
                f"{kept['value']:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{kept['yardstick']:.3f}",
            )
    console.print(rows)
    line(console, f"{data['seconds']:.0f} s.")
    for path in filter(None, (data["report"], data["facts"])):
        line(console, f"  {path}")
