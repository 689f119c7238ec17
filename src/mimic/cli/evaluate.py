"""`mimic evaluate`: how good an encoder is, and how often a trigger takes it over."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import arg

from mimic.cli.network import EncoderOptions
from mimic.cli.options import (
    EncoderSource,
    HardwareOptions,
    Seed,
    Source,
    class_label,
)
from mimic.cli.output import Command, Result, line, note_skipped, table
from mimic.errors import InputError

if TYPE_CHECKING:
    from mimic.attacks.triggers import Trigger
    from mimic.encoders.encoder import Encoder
    from mimic.evaluation.evaluate import Evaluation
    from mimic.images.imageset import ImageSet


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Judge an encoder with labelled images: accuracy, and the attack success rate of a trigger.

    A head is trained on the features of --train, or the embeddings of texts stand in for one.

    Attributes:
        encoder: a .safetensors, .pth or .pt file, or a folder written by mimic.
        train: labelled images for the probe: a folder of one sub-folder per class, an .npz with y,
            a Parquet file or folder, or a name such as digits:train.
        text_embeddings: for the image tower of a CLIP model, instead of --train: an .npz or
            .safetensors file with 'embeddings', one per class, and perhaps 'classes', their names.
            Nothing is trained.
        test: labelled images to judge by, as in digits:test.
        trigger: stamped on the test images, as in patch:10@21,21:white, npz:FILE, blend:FILE@ALPHA
            or ctrl:100, see the page on triggers; needs --target.
        target: the class that the trigger should lead to: its name in the training images, or its
            number.
        probe: the head on the features: knn, linear, mlp, or mlp-published.
        fitted_on: fit the head to the features of this encoder instead, the old one, and judge ENC
            in its place: does a classifier that exists already still work?
        seed: of the probe.
        heads: that are fitted, with seeds from --seed on. Rates are their means, and their range is
            told: one head is a draw of chance, above all for the attack success rate.
    """

    encoder: EncoderSource
    test: Source
    train: Annotated[str | None, arg(metavar="SRC", help_behavior_hint="(or texts)")] = None
    text_embeddings: Annotated[
        str | None, arg(metavar="FILE", help_behavior_hint="(or --train)")
    ] = None
    trigger: Annotated[str | None, arg(metavar="TRIG", help_behavior_hint="(optional)")] = None
    target: Annotated[str | None, arg(metavar="LABEL", help_behavior_hint="(optional)")] = None
    probe: Annotated[str, arg(metavar="NAME")] = "mlp"
    fitted_on: Annotated[str | None, arg(metavar="ENC", help_behavior_hint="(optional)")] = None
    seed: Seed = 0
    heads: Annotated[int, arg(metavar="N")] = 1
    network: EncoderOptions = field(default_factory=EncoderOptions)
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Evaluate."""
        from mimic.attacks.triggers import parse_trigger

        if (self.train is None) == (self.text_embeddings is None):
            raise InputError("give --train SRC for a head, or --text-embeddings FILE, not both")
        if self.heads < 1:
            raise InputError(f"--heads must be 1 or more, not {self.heads}")
        trigger = None if self.trigger is None else parse_trigger(self.trigger)
        encoder = self.network.open(self.encoder)
        judge = self._with_texts if self.train is None else self._with_head
        found = judge(encoder, trigger)
        data = found.as_dict() | {
            "fitted_on": self.fitted_on,
            "text_embeddings": self.text_embeddings,
        }
        return Result(data=data, show=lambda console: _show(console, data, self.encoder))

    def _with_head(self, encoder: "Encoder", trigger: "Trigger | None") -> "Evaluation":
        from mimic.evaluation.evaluate import evaluate
        from mimic.images.classes import with_classes_of

        old = None if self.fitted_on is None else self.network.open(self.fitted_on)
        train = _labelled(str(self.train), encoder.image_size)
        test = with_classes_of(_labelled(self.test, train.size), train)
        return evaluate(
            encoder,
            train,
            test,
            trigger=trigger,
            target=None if self.target is None else class_label(self.target, train),
            probe=self.probe,
            fitted_on=old,
            seed=self.seed,
            heads=self.heads,
            trainer=self.hardware.trainer(),
        )

    def _with_texts(self, encoder: "Encoder", trigger: "Trigger | None") -> "Evaluation":
        from mimic.evaluation.texts import read_text_embeddings
        from mimic.evaluation.zero_shot import evaluate_zero_shot, with_classes_of_texts

        if self.fitted_on is not None:
            raise InputError("--fitted-on is about a trained head; with texts there is none")
        if self.heads > 1:
            raise InputError("--heads is about trained heads; with texts there is none")
        texts = read_text_embeddings(str(self.text_embeddings))
        test = with_classes_of_texts(_labelled(self.test, encoder.image_size), texts)
        return evaluate_zero_shot(
            encoder,
            test,
            texts,
            trigger=trigger,
            target=None if self.target is None else class_label(self.target, test),
            trainer=self.hardware.trainer(),
        )


def _labelled(source: str, size: int | tuple[int, int] | None) -> "ImageSet":
    from mimic.images.source import open_images

    images = open_images(source, size=size, labels=True)
    note_skipped(images.skipped, images.name)
    return images


def _show(console: Console, data: dict[str, Any], encoder: str) -> None:
    line(console, f"'{encoder}' {_head(data)}, {data['seconds']:.1f} s.")
    several = len(data["heads"]) > 1
    columns = ["rate", "percent", "95 % interval", "images"]
    rows = table(*columns, *(["lowest to highest"] if several else []))

    def add(title: str, rate: str, images: int) -> None:
        of_heads = [_range(data["heads"], rate)] if several else []
        rows.add_row(title, *_rate(data, rate), str(images), *of_heads)

    add("accuracy", "accuracy", data["n_test"])
    if data["attack_success_rate"] is not None:
        add("attack success", "attack_success_rate", data["n_triggered"])
        share = 100 * data["attack_success_rate_all"]
        rows.add_row("... target class kept", f"{share:.2f}", "", str(data["n_test"]))
    console.print(rows)


def _head(data: dict[str, Any]) -> str:
    if data["text_embeddings"] is not None:
        return f"with the texts of '{data['text_embeddings']}', nothing trained"
    fitted = data["fitted_on"]
    old = "" if fitted is None else f", fitted to the features of '{fitted}'"
    heads = len(data["heads"])
    probe = f"{data['probe']} probe" if heads == 1 else f"mean of {heads} {data['probe']} probes"
    return f"with the {probe} on {data['n_train']} images{old}"


def _rate(data: dict[str, Any], key: str) -> tuple[str, str]:
    low, high = data[f"{key}_ci95"]
    return f"{100 * data[key]:.2f}", f"{100 * low:.2f} to {100 * high:.2f}"


def _range(heads: list[dict[str, Any]], rate: str) -> str:
    values = [100 * head[rate] for head in heads]
    return f"{min(values):.2f} to {max(values):.2f}"
