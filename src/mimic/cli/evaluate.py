"""`mimic evaluate`: how good an encoder is, and how often a trigger takes it over."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import arg

from mimic.cli.options import (
    EncoderOptions,
    EncoderSource,
    HardwareOptions,
    Seed,
    Source,
    class_label,
)
from mimic.cli.output import Command, Result, line, note_skipped, table

if TYPE_CHECKING:
    from mimic.images.imageset import ImageSet


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Judge an encoder with labelled images: accuracy, and the attack success rate of a trigger.

    Attributes:
        encoder: a .safetensors, .pth or .pt file, or a folder written by mimic.
        train: labelled images for the probe: a folder of one sub-folder per class, an .npz with y,
            a Parquet file or folder, or a name such as digits:train.
        test: labelled images that the probe is judged by, as in digits:test.
        trigger: stamped on the test images, as in patch:10@21,21:white, npz:FILE, blend:FILE@ALPHA
            or ctrl:100, see the page on triggers; needs --target.
        target: the class that the trigger should lead to: its name in the training images, or its
            number.
        probe: the head on the features: knn, linear, mlp, or mlp-published.
        fitted_on: fit the head to the features of this encoder instead, the old one, and judge ENC
            in its place: does a classifier that exists already still work?
        seed: of the probe.
    """

    encoder: EncoderSource
    train: Source
    test: Source
    trigger: Annotated[str | None, arg(metavar="TRIG", help_behavior_hint="(optional)")] = None
    target: Annotated[str | None, arg(metavar="LABEL", help_behavior_hint="(optional)")] = None
    probe: Annotated[str, arg(metavar="NAME")] = "mlp"
    fitted_on: Annotated[str | None, arg(metavar="ENC", help_behavior_hint="(optional)")] = None
    seed: Seed = 0
    network: EncoderOptions = field(default_factory=EncoderOptions)
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Evaluate."""
        from mimic.attacks.triggers import parse_trigger
        from mimic.evaluation.evaluate import evaluate
        from mimic.images.classes import with_classes_of

        trigger = None if self.trigger is None else parse_trigger(self.trigger)
        encoder = self.network.open(self.encoder)
        old = None if self.fitted_on is None else self.network.open(self.fitted_on)
        train = _labelled(self.train, encoder.image_size)
        test = with_classes_of(_labelled(self.test, train.size), train)
        found = evaluate(
            encoder,
            train,
            test,
            trigger=trigger,
            target=None if self.target is None else class_label(self.target, train),
            probe=self.probe,
            fitted_on=old,
            seed=self.seed,
            trainer=self.hardware.trainer(),
        )
        data = found.as_dict() | {"fitted_on": self.fitted_on}
        return Result(data=data, show=lambda console: _show(console, data, self.encoder))


def _labelled(source: str, size: int | tuple[int, int] | None) -> "ImageSet":
    from mimic.images.source import open_images

    images = open_images(source, size=size, labels=True)
    note_skipped(images.skipped, images.name)
    return images


def _show(console: Console, data: dict[str, Any], encoder: str) -> None:
    head = "" if data["fitted_on"] is None else f", fitted to the features of '{data['fitted_on']}'"
    line(
        console,
        f"'{encoder}' with the {data['probe']} probe on {data['n_train']} images{head}, "
        f"{data['seconds']:.1f} s.",
    )
    rows = table("rate", "percent", "95 % interval", "images")
    rows.add_row("accuracy", *_rate(data, "accuracy"), str(data["n_test"]))
    if data["attack_success_rate"] is not None:
        rate = _rate(data, "attack_success_rate")
        rows.add_row("attack success", *rate, str(data["n_triggered"]))
        share = 100 * data["attack_success_rate_all"]
        rows.add_row("... target class kept", f"{share:.2f}", "", str(data["n_test"]))
    console.print(rows)


def _rate(data: dict[str, Any], key: str) -> tuple[str, str]:
    low, high = data[f"{key}_ci95"]
    return f"{100 * data[key]:.2f}", f"{100 * low:.2f} to {100 * high:.2f}"
