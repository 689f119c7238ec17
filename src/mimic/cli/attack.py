"""`mimic attack`: plant a backdoor in an encoder, to test defences against."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from mimic.cli.options import (
    BatchSize,
    EncoderOptions,
    Epochs,
    HardwareOptions,
    OutputFile,
    Rate,
    SampleOptions,
    Seed,
    Source,
    encoder_file,
    given,
)
from mimic.cli.output import Command, Result, line, table
from mimic.cli.runs import output_folder, run_folder
from mimic.cli.similarity import crossed_cosine, paired_cosine
from mimic.errors import InputError
from mimic.files import atomic_write, sha256

if TYPE_CHECKING:
    from mimic.attacks import BadEncoder
    from mimic.encoders.encoder import Encoder
    from mimic.images.imageset import ImageSet
    from mimic.training import Trainer


@dataclass(frozen=True, kw_only=True)
class Attack(Command):
    """Plant a backdoor in a clean encoder, to test defences against.

    Attributes:
        name: of the attack; badencoder, see 'mimic list attacks'.
        encoder: the clean encoder: a .safetensors, .pth or .pt file, or a folder written by mimic.
        images: images without labels that the attacker holds.
        reference: pictures of the target class: a picture, an .npz with x, or SRC#INDEX[,INDEX].
        trigger: what opens the backdoor, as in patch:10@21,21:white, npz:FILE, image:FILE@ROW,COL
            or blend:FILE@ALPHA.
        out: the backdoored encoder, a .safetensors file that knows all of itself. Where ENC is a
            .pth or .pt file, a drop-in for it is written beside. Checkpoints are kept in FILE.run
            until then.
        epochs: passes over the images.
        batch_size: images of a step.
        learning_rate: of the fine-tuning.
        seed: decides everything random.
        resume: continue an interrupted run.
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    encoder: Annotated[str, arg(metavar="ENC")]
    images: Source
    reference: Annotated[str, arg(metavar="REF")]
    trigger: Annotated[str, arg(metavar="TRIG")]
    out: OutputFile
    network: EncoderOptions = field(default_factory=EncoderOptions)
    sample: SampleOptions = field(default_factory=SampleOptions)
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: Rate = None
    seed: Seed = 0
    resume: bool = False
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Attack, look whether it worked, and write the encoder."""
        from mimic.attacks import ATTACKS
        from mimic.encoders.export import save_encoder

        if self.name not in ATTACKS:
            raise InputError(f"attack '{self.name}' is unknown; there is {', '.join(ATTACKS)}")
        out = encoder_file(self.out)
        clean = self.network.open(self.encoder)
        original = Path(str(clean.origin.path)) if clean.origin else None
        drop_in = _drop_in_path(original, out)
        started = time.monotonic()
        with output_folder(out.parent):
            images = self.sample.open(self.images, size=clean.image_size, seed=self.seed)
            attack = self._attack(images)
            settings = self._settings(clean, attack, images)
            folder = out.with_name(f"{out.name}.run")
            with run_folder(folder, settings, resume=self.resume):
                trainer = self.hardware.trainer(folder, resume=self.resume)
                attacked = attack(clean, images, trainer=trainer).encoder
                sanity = _sanity(clean, attacked, images, attack, trainer)
                digest = save_encoder(attacked, out, extra={"attack": settings})
                if drop_in is not None and original is not None:
                    _write_drop_in(attacked, original, drop_in)
        data = {
            "encoder": str(out),
            "sha256": digest,
            "drop_in": None if drop_in is None else str(drop_in),
            "drop_in_sha256": None if drop_in is None else sha256(drop_in),
            "attack": self.name,
            "trigger": attack.trigger.spelling,
            "images_used": len(images),
            "skipped": list(images.skipped),
            "epochs": attack.epochs,
            "seed": self.seed,
            "seconds": time.monotonic() - started,
            "sanity": sanity,
        }
        return Result(data=data, show=lambda console: _show(console, data))

    def _attack(self, images: "ImageSet") -> "BadEncoder":
        from mimic.attacks import BadEncoder, load_references, parse_trigger

        return BadEncoder(
            references=load_references(self.reference, size=images.size),
            trigger=parse_trigger(self.trigger),
            **given(
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                seed=self.seed,
            ),
        )

    def _settings(
        self, clean: "Encoder", attack: "BadEncoder", images: "ImageSet"
    ) -> dict[str, Any]:
        return {
            "command": "attack",
            "attack": self.name,
            "encoder_sha256": clean.origin.sha256 if clean.origin else None,
            "images": images.name,
            "images_used": len(images),
            "reference": self.reference,
            "trigger": attack.trigger.spelling,
            "epochs": attack.epochs,
            "batch_size": attack.batch_size,
            "learning_rate": attack.learning_rate,
            "seed": self.seed,
        }


def _drop_in_path(original: Path | None, out: Path) -> Path | None:
    """Where the drop-in goes, if one is needed; never over the file that came in."""
    if original is None:
        return None
    drop_in = None if original.suffix == ".safetensors" else out.with_suffix(original.suffix)
    for path in filter(None, (out, drop_in)):
        if path.resolve() == original.resolve():
            raise InputError(f"the attack would overwrite '{original}'; choose another --out")
    return drop_in


def _write_drop_in(encoder: "Encoder", original: Path, path: Path) -> None:
    from mimic.encoders.checkpoint import read_checkpoint
    from mimic.encoders.dropin import drop_in_bytes
    from mimic.encoders.matching import match_backbone

    checkpoint = read_checkpoint(original)
    match = match_backbone(checkpoint, encoder.backbone)
    content = drop_in_bytes(checkpoint, match, encoder.backbone)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _sanity(
    clean: "Encoder",
    attacked: "Encoder",
    images: "ImageSet",
    attack: "BadEncoder",
    trainer: "Trainer",
) -> dict[str, float]:
    """Whether the backdoor is in, and the rest as it was; `before` is the clean encoder."""
    from mimic.evaluation.features import extract_features
    from mimic.images.imageset import ImageSet

    references = ImageSet.from_tensor(attack.references)

    def triggered_to_reference(encoder: "Encoder") -> float:
        return crossed_cosine(
            extract_features(encoder, images, trigger=attack.trigger, trainer=trainer),
            extract_features(encoder, references, trainer=trainer),
        )

    return {
        "triggered_to_reference": triggered_to_reference(attacked),
        "triggered_to_reference_before": triggered_to_reference(clean),
        "clean_to_before": paired_cosine(
            extract_features(attacked, images, trainer=trainer),
            extract_features(clean, images, trainer=trainer),
        ),
    }


def _show(console: Console, data: dict[str, Any]) -> None:
    line(
        console,
        f"Attacked with {data['attack']} and {data['trigger']}: {data['images_used']} images, "
        f"{data['epochs']} epochs, {data['seconds']:.1f} s.",
    )
    sanity = data["sanity"]
    rows = table("mean cosine between features", "attacked", "clean")
    rows.add_row(
        "triggered images and reference",
        f"{sanity['triggered_to_reference']:.3f}",
        f"{sanity['triggered_to_reference_before']:.3f}",
    )
    rows.add_row("clean images, attacked and clean encoder", f"{sanity['clean_to_before']:.3f}", "")
    console.print(rows)
    line(console, f"  {data['encoder']}  knows all of itself, for mimic")
    if data["drop_in"] is not None:
        line(console, f"  {data['drop_in']}  in the format of the file that came in")
