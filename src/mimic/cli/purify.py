"""`mimic purify`: from an encoder that nobody can vouch for to a drop-in replacement."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from mimic.cli.finished import check_unclaimed, finished_report
from mimic.cli.network import EncoderOptions
from mimic.cli.options import (
    EncoderSource,
    Epochs,
    Folder,
    SampleOptions,
    ScaleOptions,
    Seed,
    Settings,
    Source,
    enter_first,
)
from mimic.cli.output import Command, Result, note_skipped, say
from mimic.cli.purified import purified_report, show_purified
from mimic.cli.respell import respell
from mimic.cli.runs import output_folder, run_folder
from mimic.cli.settings import parse_settings, settings_of
from mimic.errors import InputError
from mimic.files import expanded

if TYPE_CHECKING:
    from mimic.defenses import Defense
    from mimic.encoders.encoder import Encoder
    from mimic.encoders.export import Exported
    from mimic.images.imageset import ImageSet
    from mimic.training import Trainer
    from mimic.verification.attempts import Judges, Outcome

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class Purify(Command):
    """Purify an encoder with clean images, without labels and without the trigger.

    DIR gets a drop-in replacement for the file that came in, encoder.safetensors, which knows all
    of itself, manifest.json, which says what went in and how, report.html for people (the same
    facts are in report.json) and a model card, README.md. An interrupted run continues with
    --resume. At its end the purification is verified, as by 'mimic verify'. Ends with code 1 if the
    verdict is "not_accepted"; the files are written all the same.

    Attributes:
        encoder: the suspicious encoder: a .safetensors, .pth or .pt file, a folder written by
            mimic, or timm:NAME, torchvision:NAME, open_clip:NAME (each with @FILE for weights of
            your own) or hf:DIR_OR_REPO.
        images: clean images, without labels: a folder, an .npz, a Parquet file or folder, or a name
            such as digits. All are used; a few hundred to a few thousand are sensible, take a share
            of a larger source with --ratio or --count.
        out: where the results go. Checkpoints are kept in DIR/checkpoints until then.
        method: of purification, see 'mimic list defenses'.
        student: architecture of the purified encoder where it should be another one, a smaller one
            say, as in resnet10:width=16 or timm:resnet10t; for methods that train one. Its feature
            is as long as before, but there is no replacement for the file that came in.
        epochs: passes over the images.
        set: further settings of the method as FIELD=VALUE, as in learning_rate=0.002. Give it again
            for more.
        seed: decides everything random, the choice of images too.
        resume: continue an interrupted run; a finished one is not repeated.
        verify_images: 128 or more clean images without labels that only judge; by default those
            that it purifies with, which flatters the result a little.
        no_verify: do not verify; the verdict is "undecided" then.
        until_accepted: purify again with stronger settings where the verdict is "not_accepted", up
            to this many times in all.
    """

    encoder: EncoderSource
    images: Source
    out: Folder
    method: Annotated[str, arg(metavar="NAME")] = "mimic"
    student: Annotated[
        str | None, arg(metavar="ARCH", help_behavior_hint="(default: that of ENC)")
    ] = None
    sample: SampleOptions = field(default_factory=SampleOptions)
    epochs: Epochs = None
    set: Settings = ()
    seed: Seed = 0
    resume: bool = False
    verify_images: Annotated[
        str | None, arg(metavar="SRC", help_behavior_hint="(default: the same)")
    ] = None
    no_verify: bool = False
    until_accepted: Annotated[int, arg(metavar="N")] = 1
    network: EncoderOptions = field(default_factory=EncoderOptions)
    hardware: ScaleOptions = field(default_factory=ScaleOptions)

    def run(self) -> Result:
        """Purify and write the results."""
        from mimic.encoders.export import check_destination
        from mimic.seeds import seed_of
        from mimic.training.processes import on_first

        self._check()
        out = expanded(self.out)
        defense = self._defense()
        suspect = self.network.open(self.encoder)
        path = None if suspect.origin is None else suspect.origin.path
        original = None if path is None else Path(path)
        if original is not None:
            check_destination(original, out)
        self.hardware.join()
        with ExitStack() as stack:
            if not self.hardware.dry_run:
                enter_first(stack, output_folder(out))
            chosen = seed_of("defender", self.seed)
            images = self.sample.open(self.images, size=suspect.image_size, seed=chosen)
            if self.hardware.dry_run:
                return self.hardware.rehearse(
                    suspect, images, lambda trainer: defense(suspect, images, trainer=trainer)
                )
            settings = self._settings(suspect, defense, images)
            data = on_first(lambda: finished_report(out, settings, resume=self.resume))
            if data is None:
                folder = out / _CHECKPOINTS
                on_first(lambda: check_unclaimed(out, folder, original))
                enter_first(stack, run_folder(folder, settings, resume=self.resume))
                data = self._purify(suspect, defense, images, original, settings, folder)
        report = data
        return Result(
            data=report,
            show=lambda console: show_purified(console, report, self.encoder),
            exit_code=1 if report["verification"]["verdict"] == "not_accepted" else 0,
        )

    def _check(self) -> None:
        if self.until_accepted < 1:
            raise InputError(f"--until-accepted must be 1 or more, not {self.until_accepted}")
        if self.no_verify and (self.verify_images is not None or self.until_accepted > 1):
            raise InputError("--verify-images and --until-accepted verify; leave --no-verify out")

    def _defense(self) -> "Defense":
        from mimic.purification import find_defense

        defense = find_defense(self.method).with_settings(epochs=self.epochs, seed=self.seed)
        options = ("epochs", "seed", "student")
        known = settings_of(type(defense), leave_out=options)
        owner = f"method '{self.method}'"
        chosen = parse_settings(self.set, known, owner=owner, options=options)
        if self.student is not None:
            if "student" not in {setting.name for setting in fields(defense)}:
                raise InputError(
                    f"method '{self.method}' trains no student of another architecture"
                )
            chosen["student"] = self.student
        return replace(defense, **chosen)

    def _judges(self, images: "ImageSet") -> "Judges | None":
        """What the purification is verified with; None where that is not wanted."""
        from mimic.images.source import open_images
        from mimic.verification.attempts import Judges
        from mimic.verification.verify import FEWEST

        if self.no_verify:
            return None
        if self.verify_images is None:
            return Judges(images=images, seen=True, seed=self.seed)
        others = open_images(self.verify_images, size=images.size)
        note_skipped(others.skipped, others.name)
        if len(others) < FEWEST:
            raise InputError(
                f"--verify-images '{self.verify_images}' gives {len(others)} images; {FEWEST} or "
                "more are needed"
            )
        return Judges(images=others, seen=False, seed=self.seed)

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
        from mimic.training.processes import on_first
        from mimic.verification.attempts import purify_and_verify

        trainer = self.hardware.trainer(folder, resume=self.resume)
        outcome = purify_and_verify(
            suspect,
            images,
            defense,
            self._judges(images),
            most=self.until_accepted,
            trainer=trainer,
            tell=lambda sentence: say("note", sentence),
        )
        purified = outcome.purification.encoder
        if not outcome.purification.same_architecture:
            say("note", f"the student is {purified.architecture}: its file is for mimic only")
        before = extract_features(suspect, images, trainer=trainer)
        after = extract_features(purified, images, trainer=trainer)
        report = purified_report(outcome, self.method, images, paired_cosine(before, after))

        def export() -> "tuple[Exported, dict[str, str]]":
            pages: dict[str, str] = {}
            files = export_purified(
                purified,
                original=original if outcome.purification.same_architecture else None,
                directory=folder.parent,
                manifest={"settings": settings, "report": report},
                beside=lambda files: pages.update(
                    self._write_pages(suspect, images, outcome, files, trainer)
                ),
            )
            return files, pages

        files, pages = on_first(export)
        if files.others:
            say(
                "warning",
                f"'{files.drop_in}' holds the encoder that came in as well, not purified, at "
                f"{', '.join(map(repr, files.others))}: make sure that nothing loads it from there",
            )
        return {
            "encoder": str(files.encoder),
            "sha256": files.encoder_sha256,
            "drop_in": files.drop_in and str(files.drop_in),
            "drop_in_sha256": files.drop_in_sha256,
            "others": list(files.others),
            "manifest": str(files.manifest),
            **pages,
            **report,
        }

    def _write_pages(
        self,
        suspect: "Encoder",
        images: "ImageSet",
        outcome: "Outcome",
        files: "Exported",
        trainer: "Trainer",
    ) -> dict[str, str]:
        """What people read: a report, and a model card beside the encoder."""
        from mimic.report.dossier import Context, write_purification_report

        digest = suspect.origin.sha256 if suspect.origin else None
        return write_purification_report(
            files.encoder.parent,
            before=suspect,
            images=images,
            purification=outcome.purification,
            verification=outcome.verification,
            context=Context(
                command=respell("purify", self),
                seed=self.seed,
                trainer=replace(trainer, folder=None, resume=False),
                settings=outcome.attempts[-1].settings,
                files={
                    "before": (self.encoder, digest),
                    "after": (str(files.encoder), files.encoder_sha256),
                },
            ),
            method=self.method,
            drop_in=files.drop_in.name if files.drop_in else None,
            others=files.others,
        )

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
