"""`mimic attack`: plant a backdoor in an encoder, to test defences against."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import Positional, UseAppendAction, arg

from mimic.cli.network import EncoderOptions
from mimic.cli.options import (
    BatchSize,
    Epochs,
    HardwareOptions,
    OutputFile,
    Rate,
    SampleOptions,
    Seed,
    Settings,
    Source,
    class_label,
    encoder_file,
    given,
)
from mimic.cli.output import Command, Result, line, say, table
from mimic.cli.runs import output_folder, run_folder
from mimic.cli.sanity import TITLES, sanity_of
from mimic.errors import InputError
from mimic.files import atomic_write, sha256

if TYPE_CHECKING:
    from mimic.attacks import Attack as AnyAttack
    from mimic.attacks import Attacked
    from mimic.encoders.encoder import Encoder
    from mimic.images.imageset import ImageSet

_WHERE = "(where the attack has one)"


@dataclass(frozen=True, kw_only=True)
class Attack(Command):
    """Plant a backdoor in a clean encoder, to test defences against.

    Attributes:
        name: of the attack, see 'mimic list attacks'.
        encoder: the clean encoder: a .safetensors, .pth or .pt file, or a folder written by mimic.
            An attack that poisons data takes only the architecture from it.
        images: images that the attacker holds. One that poisons data poisons these, and needs their
            labels.
        trigger: what opens the backdoor, as in patch:10@21,21:white, npz:FILE or ctrl:100, see the
            page on triggers. Several at once, one for each reference: give it again.
        reference: pictures of the target class: a picture, an .npz with x, or SRC#INDEX[,INDEX].
            Give it again for more.
        target: the target class, by name or number.
        train: labelled downstream images. With --target, says before any work if a clean head takes
            a reference for another class.
        background: images behind what CorruptEncoder composes.
        method: how the victim of an attack that poisons data pre-trains, see 'mimic list
            pretraining'; simclr if nothing is said.
        set: further settings of the attack as FIELD=VALUE, as in rate=0.01. Give it again for more.
        poisoned: where to write the poisoned images too: an .npz file or a folder.
        out: the backdoored encoder, a .safetensors file that knows all of itself. Beside it goes a
            drop-in where ENC is a .pth or .pt file, and the trigger where the attack has learned
            one. Checkpoints are kept in FILE.run until then.
        epochs: passes over the images: of the attack, or of the victim's pre-training.
        batch_size: images of a step.
        learning_rate: of the same.
        seed: decides everything random.
        resume: continue an interrupted run.
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    encoder: Annotated[str, arg(metavar="ENC")]
    images: Source
    out: OutputFile
    trigger: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="TRIG", help_behavior_hint=_WHERE)
    ] = ()
    reference: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="REF", help_behavior_hint=_WHERE)
    ] = ()
    target: Annotated[str | None, arg(metavar="LABEL", help_behavior_hint=_WHERE)] = None
    train: Annotated[str | None, arg(metavar="SRC", help_behavior_hint="(optional)")] = None
    background: Annotated[str | None, arg(metavar="SRC", help_behavior_hint=_WHERE)] = None
    method: Annotated[str | None, arg(metavar="NAME", help_behavior_hint=_WHERE)] = None
    set: Settings = ()
    poisoned: Annotated[str | None, arg(metavar="DIR", help_behavior_hint="(optional)")] = None
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
            raise InputError(f"attack '{self.name}' is unknown; there are {', '.join(ATTACKS)}")
        poisons = ATTACKS[self.name].threat_model == "poisoning"
        if self.poisoned is not None and not poisons:
            raise InputError(f"attack '{self.name}' poisons no images; leave --poisoned out")
        out = encoder_file(self.out)
        clean = self.network.open(self.encoder)
        original = Path(str(clean.origin.path)) if clean.origin else None
        drop_in = _drop_in_path(original, out)
        self._check_places(out, drop_in)
        started = time.monotonic()
        with output_folder(out.parent):
            images = self.sample.open(
                self.images, size=clean.image_size, seed=self.seed, labels=poisons
            )
            attack = self._attack(images)
            self._check_references(clean, attack)
            settings = self._settings(clean, images)
            folder = out.with_name(f"{out.name}.run")
            with run_folder(folder, settings, resume=self.resume):
                trainer = self.hardware.trainer(folder, resume=self.resume)
                result = _with_saved_trigger(attack(clean, images, trainer=trainer), out)
                sanity = sanity_of(None if poisons else clean, result, attack, images, trainer)
                digest = save_encoder(result.encoder, out, extra={"attack": settings})
                if drop_in is not None and original is not None:
                    _write_drop_in(result.encoder, original, drop_in)
                poisoned = self._write_poisoned(attack, result)
        data = {
            "encoder": str(out),
            "sha256": digest,
            "drop_in": None if drop_in is None else str(drop_in),
            "drop_in_sha256": None if drop_in is None else sha256(drop_in),
            "attack": self.name,
            "trigger": result.triggers[0].spelling,
            "triggers": [trigger.spelling for trigger in result.triggers],
            "poisoned": poisoned,
            "images_used": len(images),
            "skipped": list(images.skipped),
            "epochs": getattr(getattr(attack, "pretraining", attack), "epochs", None),
            "seed": self.seed,
            "seconds": time.monotonic() - started,
            "sanity": sanity,
        }
        return Result(data=data, show=lambda console: _show(console, data))

    def _check_places(self, out: Path, drop_in: Path | None) -> None:
        """Refuse what would only be refused after the training, and what is somebody else's."""
        from mimic.images.writing import check_place

        if self.poisoned is not None:
            check_place(self.poisoned)
        if drop_in is not None and drop_in.exists() and not out.exists():
            raise InputError(
                f"'{drop_in}' is there, without a '{out.name}' that an attack has left beside it, "
                "and would be overwritten; choose another --out"
            )

    def _attack(self, images: "ImageSet") -> "AnyAttack":
        from mimic.attacks import ATTACKS
        from mimic.cli.attacks import Asked, build_attack

        asked = Asked(
            triggers=self.trigger,
            references=self.reference,
            target=self.target,
            background=self.background,
            method=self.method,
            training=given(
                epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate
            ),
            seed=self.seed,
            settings=self.set,
        )
        return build_attack(self.name, ATTACKS[self.name], asked, images)

    def _check_references(self, clean: "Encoder", attack: "AnyAttack") -> None:
        """Warn of references that a head on the clean encoder takes for another class."""
        references = getattr(attack, "references", None)
        if self.train is None or references is None:
            return
        if self.target is None:
            raise InputError("--train asks what the references show; say what with --target LABEL")
        from mimic.attacks.references import reference_classes
        from mimic.images.source import open_images

        size = tuple(references.shape[2:])
        train = open_images(self.train, size=size, labels=True)
        wanted = class_label(self.target, train)
        found = reference_classes(clean, references, train, trainer=self.hardware.trainer())
        for index, label in enumerate(found.tolist()):
            if label != wanted:
                name = train.class_names[label] if train.class_names else str(label)
                say(
                    "warning",
                    f"a clean head takes reference {index} for class '{name}', not for "
                    f"'{self.target}': the attack success rate will be low; take another picture",
                )

    def _settings(self, clean: "Encoder", images: "ImageSet") -> dict[str, Any]:
        return {
            "command": "attack",
            "attack": self.name,
            "encoder_sha256": clean.origin.sha256 if clean.origin else None,
            "architecture": clean.architecture,
            "images": images.name,
            "images_used": len(images),
            "trigger": list(self.trigger),
            "reference": list(self.reference),
            "target": self.target,
            "background": self.background,
            "method": self.method,
            "set": list(self.set),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "seed": self.seed,
        }

    def _write_poisoned(self, attack: "AnyAttack", result: "Attacked") -> str | None:
        if self.poisoned is None or result.poisoned is None:
            return None
        from mimic.attacks.poisoning import write_poisoned

        return str(write_poisoned(attack, result.poisoned, self.poisoned))


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


def _with_saved_trigger(result: "Attacked", out: Path) -> "Attacked":
    """The same result, its learned trigger in a file beside the encoder."""
    from mimic.attacks.triggers.generator import Generated, save_generator

    triggers = tuple(
        save_generator(trigger, out.with_name(f"{out.stem}.trigger.safetensors"))
        if isinstance(trigger, Generated)
        else trigger
        for trigger in result.triggers
    )
    return replace(result, triggers=triggers)


def _show(console: Console, data: dict[str, Any]) -> None:
    line(
        console,
        f"Attacked with {data['attack']} and {' and '.join(data['triggers'])}: "
        f"{data['images_used']} images, {data['epochs']} epochs, {data['seconds']:.1f} s.",
    )
    sanity = data["sanity"]
    rows = table("mean cosine between features", "attacked", "clean")
    for name, title in TITLES.items():
        if name in sanity:
            before = sanity.get(f"{name}_before")
            rows.add_row(title, f"{sanity[name]:.3f}", "" if before is None else f"{before:.3f}")
    console.print(rows)
    line(console, f"  {data['encoder']}  knows all of itself, for mimic")
    if data["drop_in"] is not None:
        line(console, f"  {data['drop_in']}  in the format of the file that came in")
    if data["poisoned"] is not None:
        line(console, f"  {data['poisoned']}  the poisoned images")
