"""`mimic purify`: from an encoder that nobody can vouch for to a drop-in replacement."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import arg

from mimic.cli.finished import finished_report
from mimic.cli.options import (
    EncoderOptions,
    EncoderSource,
    Epochs,
    Folder,
    HardwareOptions,
    SampleOptions,
    Seed,
    Settings,
    Source,
)
from mimic.cli.output import Command, Result, line, stage_table
from mimic.cli.runs import output_folder, run_folder
from mimic.cli.settings import parse_settings, settings_of

if TYPE_CHECKING:
    from mimic.defenses import Defense, Purification
    from mimic.encoders.encoder import Encoder
    from mimic.images.imageset import ImageSet

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class Purify(Command):
    """Purify an encoder with clean images, without labels and without the trigger.

    DIR gets a drop-in replacement for the file that came in, encoder.safetensors, which knows all
    of itself, and manifest.json, which says what went in and how. An interrupted run continues with
    --resume.

    Attributes:
        encoder: the suspicious encoder: a .safetensors, .pth or .pt file, a folder written by
            mimic, or timm:NAME, torchvision:NAME, open_clip:NAME (each with @FILE for weights of
            your own) or hf:DIR_OR_REPO.
        images: clean images, without labels: a folder, an .npz, a Parquet file or folder, or a name
            such as digits. All are used; a few hundred to a few thousand are sensible, take a share
            of a larger source with --ratio or --count.
        out: where the results go. Checkpoints are kept in DIR/checkpoints until then.
        method: of purification, see 'mimic list defenses'.
        epochs: passes over the images.
        set: further settings of the method as FIELD=VALUE, as in learning_rate=0.002. Give it again
            for more.
        seed: decides everything random, the choice of images too.
        resume: continue an interrupted run; a finished one is not repeated.
    """

    encoder: EncoderSource
    images: Source
    out: Folder
    method: Annotated[str, arg(metavar="NAME")] = "mimic"
    sample: SampleOptions = field(default_factory=SampleOptions)
    epochs: Epochs = None
    set: Settings = ()
    seed: Seed = 0
    resume: bool = False
    network: EncoderOptions = field(default_factory=EncoderOptions)
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Purify and write the results."""
        from mimic.encoders.export import check_destination

        out = Path(self.out).expanduser()
        defense = self._defense()
        suspect = self.network.open(self.encoder)
        path = None if suspect.origin is None else suspect.origin.path
        original = None if path is None else Path(path)
        if original is not None:
            check_destination(original, out)
        with output_folder(out):
            images = self.sample.open(self.images, size=suspect.image_size, seed=self.seed)
            settings = self._settings(suspect, defense, images)
            data = finished_report(out, settings, resume=self.resume)
            if data is None:
                with run_folder(out / _CHECKPOINTS, settings, resume=self.resume) as folder:
                    data = self._purify(suspect, defense, images, original, settings, folder)
        report = data
        return Result(data=report, show=lambda console: _show(console, report, self.encoder))

    def _defense(self) -> "Defense":
        from mimic.purification import find_defense

        defense = find_defense(self.method).with_settings(epochs=self.epochs, seed=self.seed)
        known = settings_of(type(defense), leave_out=("epochs", "seed"))
        chosen = parse_settings(self.set, known, owner=f"method '{self.method}'")
        return replace(defense, **chosen)

    def _purify(
        self,
        suspect: "Encoder",
        defense: "Defense",
        images: "ImageSet",
        original: Path | None,
        settings: dict[str, Any],
        folder: Path,
    ) -> dict[str, Any]:
        from mimic.encoders.export import export_purified
        from mimic.evaluation.features import extract_features
        from mimic.evaluation.similarity import paired_cosine

        trainer = self.hardware.trainer(folder, resume=self.resume)
        done = defense(suspect, images, trainer=trainer)
        before = extract_features(suspect, images, trainer=trainer)
        after = extract_features(done.encoder, images, trainer=trainer)
        report = _report(done, defense, self.method, images, paired_cosine(before, after))
        files = export_purified(
            done.encoder,
            original=original,
            directory=folder.parent,
            manifest={"settings": settings, "report": report},
        )
        return {
            "encoder": str(files.encoder),
            "sha256": files.encoder_sha256,
            "drop_in": files.drop_in and str(files.drop_in),
            "drop_in_sha256": files.drop_in_sha256,
            "manifest": str(files.manifest),
            **report,
        }

    def _settings(
        self, suspect: "Encoder", defense: "Defense", images: "ImageSet"
    ) -> dict[str, Any]:
        return {
            "command": "purify",
            "encoder_sha256": suspect.origin.sha256 if suspect.origin else None,
            "architecture": suspect.architecture,
            "mean": suspect.mean.flatten().tolist(),
            "std": suspect.std.flatten().tolist(),
            "image_size": suspect.image_size,
            "stages": self.network.stages,
            "images": images.name,
            "images_used": len(images),
            "method": self.method,
            **asdict(defense),
        }


def _report(
    done: "Purification", defense: "Defense", method: str, images: "ImageSet", cosine: float
) -> dict[str, Any]:
    from mimic.defenses.channels import silent_channels

    found = None if done.localization is None else done.localization.as_dict()
    return {
        "method": method,
        "images_used": len(images),
        "skipped": list(images.skipped),
        "epochs": defense.epochs,
        "seed": defense.seed,
        "seconds": done.history.seconds + (found["seconds"] if found else 0.0),
        "images_per_second": done.history.images_per_second,
        "estimator": found["estimator"] if found else None,
        "stages": found["stages"] if found else [],
        "silent_channels": silent_channels(done.encoder),
        "verification": {
            "verdict": "undecided",
            "reasons": [
                "nothing was verified yet: 'mimic verify BEFORE AFTER --images SRC' decides"
            ],
            "mean_cosine": cosine,
        },
    }


def _show(console: Console, data: dict[str, Any], encoder: str) -> None:
    line(
        console,
        f"Purified '{encoder}' with {data['method']}: {data['images_used']} images, "
        f"{data['epochs']} epochs, {data['seconds']:.1f} s "
        f"({data['images_per_second']:.0f} images per second).",
    )
    if data["stages"]:
        console.print(stage_table(data["stages"]))
    else:
        line(console, f"{data['method']} does not measure mutual information.")
    if data["silent_channels"]:
        line(console, f"{data['silent_channels']} channels are switched off.")
    if data["drop_in"] not in (None, data["encoder"]):
        line(console, f"  {data['drop_in']}  load it where '{encoder}' was loaded")
    line(console, f'  {data["encoder"]}  for mimic: mimic.load_encoder("{data["encoder"]}")')
    line(console, f"  {data['manifest']}  what went in, what came out, and how")
    verification = data["verification"]
    line(
        console,
        f"Verdict {verification['verdict']}: {'; '.join(verification['reasons'])}. The features "
        f"before and after have a mean cosine of {verification['mean_cosine']:.3f} on the clean "
        "images.",
    )
