"""`mimic scan`: is an encoder suspicious?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import arg

from mimic.cli.network import EncoderOptions
from mimic.cli.options import (
    EncoderSource,
    HardwareOptions,
    SampleOptions,
    Seed,
    Source,
)
from mimic.cli.output import Command, Result, line, table
from mimic.cli.references import References, calibration_by
from mimic.cli.respell import respell
from mimic.cli.runs import optional_folder

if TYPE_CHECKING:
    from mimic.detection.scan import Scan as Found
    from mimic.images.imageset import ImageSet


@dataclass(frozen=True, kw_only=True)
class Scan(Command):
    """Look for a backdoor in an encoder, without labels and without knowing the trigger.

    Ends with code 1 if the encoder is suspicious. Clean means that no trigger of the searched kinds
    was found, not that there is none.

    Attributes:
        encoder: a .safetensors, .pth or .pt file, a folder written by mimic, or a name such as
            timm:resnet18@FILE.
        images: 64 or more clean images without labels, of the kind that the encoder was trained on.
        out: folder for report.html, which people read, the same as report.json, scan.sarif for
            code-scanning pages, scan.json, and pictures of what was found.
        reference: an encoder known to be clean, of the kind of ENC: the same architecture, method
            and data. Give three or more. ENC is compared with them in place of those that come with
            mimic, and smaller findings are noticed. Each takes as long as a scan.
        seed: of the searches.
    """

    encoder: EncoderSource
    images: Source
    out: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="(optional)")] = None
    reference: References = ()
    sample: SampleOptions = field(default_factory=SampleOptions)
    seed: Seed = 0
    network: EncoderOptions = field(default_factory=EncoderOptions)
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Scan and, where asked, write what was found."""
        from mimic.detection.scan import scan
        from mimic.files import write_json

        with optional_folder(self.out) as folder:
            encoder = self.network.open(self.encoder)
            images = self.sample.open(self.images, size=encoder.image_size, seed=self.seed)
            trainer = self.hardware.trainer()
            calibration = calibration_by(
                self.reference,
                images,
                network=self.network,
                image_size=encoder.image_size,
                seed=self.seed,
                trainer=trainer,
            )
            found = scan(encoder, images, seed=self.seed, calibration=calibration, trainer=trainer)
            data = found.as_dict() | {"pictures": [], "report": None, "facts": None, "sarif": None}
            if folder is not None:
                from mimic.report.dossier import Context, write_scan_report

                context = Context(command=respell("scan", self), seed=self.seed, trainer=trainer)
                data["pictures"] = [str(path) for path in write_pictures(found, images, folder)]
                data |= write_scan_report(folder, encoder, images, found, context=context)
                write_json(folder / "scan.json", data)
        return Result(
            data=data,
            show=lambda console: _show(console, data, self.encoder),
            exit_code=1 if found.verdict == "suspicious" else 0,
        )


def write_pictures(found: "Found", images: "ImageSet", folder: Path) -> list[Path]:
    """A strip of four images for each family: as they are, and with the best trigger."""
    import torch
    from PIL import Image

    from mimic.files import atomic_write

    written = []
    some = images.batch(torch.arange(min(4, len(images))))
    for doors in found.doors:
        rows = torch.stack([some, doors.stamps[0](some)])
        strip = rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)
        enlarged = max(1, 128 // images.size[0])
        picture = Image.fromarray(strip.contiguous().numpy())
        size = (picture.width * enlarged, picture.height * enlarged)
        path = folder / f"{doors.family}.png"
        with atomic_write(path) as file:
            picture.resize(size, Image.Resampling.NEAREST).save(file, format="png")
        written.append(path)
    return written


def _show(console: Console, data: Mapping[str, Any], encoder: str) -> None:
    verdict = "SUSPICIOUS" if data["verdict"] == "suspicious" else "clean"
    line(
        console,
        f"'{encoder}' looks {verdict}: score {data['score']:.1f}, p = {data['p_value']:.3f} "
        f"(suspicious from {data['false_positive_rate']} down).",
    )
    rows = table("best trigger found", "p", "forgotten", "moved", "cosine of images", "with it")
    for trigger in data["triggers"]:
        rows.add_row(
            trigger["description"],
            f"{trigger['p_value']:.3f}",
            f"{100 * trigger['forgotten'][0]:.0f} %",
            f"{trigger['displaced']:.1f} sd",
            f"{trigger['cosine_before']:.3f}",
            f"{trigger['cosine_after']:.3f}",
        )
    console.print(rows)
    line(console, f"Compared with {data['calibration']}. {data['seconds']:.0f} s.")
    for path in filter(None, (data["report"], data["facts"], data["sarif"], *data["pictures"])):
        line(console, f"  {path}")
