"""`mimic pretrain`: train an encoder from random weights, without labels."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import arg

from mimic.cli.network import EncoderOptions
from mimic.cli.options import (
    BatchSize,
    Epochs,
    OutputFile,
    Rate,
    SampleOptions,
    ScaleOptions,
    Seed,
    Source,
    encoder_file,
    enter_first,
    given,
)
from mimic.cli.output import Command, Result, line
from mimic.cli.runs import output_folder, run_folder
from mimic.errors import InputError

if TYPE_CHECKING:
    from mimic.images.imageset import ImageSet


@dataclass(frozen=True, kw_only=True)
class Pretrain(Command):
    """Train an encoder from random weights on images without labels.

    Attributes:
        images: a folder, an .npz, a Parquet file or folder, or a name such as digits:train.
        out: the encoder, a .safetensors file that knows all of itself. Checkpoints are kept in
            FILE.run until it is written.
        method: how to train, see 'mimic list pretraining'.
        epochs: passes over the images.
        batch_size: images of a step.
        learning_rate: peak learning rate.
        seed: decides everything random.
        resume: continue an interrupted run.
    """

    images: Source
    out: OutputFile
    method: Annotated[str, arg(metavar="NAME")] = "simclr"
    network: EncoderOptions = field(default_factory=EncoderOptions)
    sample: SampleOptions = field(default_factory=SampleOptions)
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: Rate = None
    seed: Seed = 0
    resume: bool = False
    hardware: ScaleOptions = field(default_factory=ScaleOptions)

    def run(self) -> Result:
        """Train and write the encoder."""
        from mimic.encoders.export import save_encoder
        from mimic.pretraining import METHODS
        from mimic.training.processes import on_first

        if self.method not in METHODS:
            raise InputError(f"method '{self.method}' is unknown; there are {', '.join(METHODS)}")
        out = encoder_file(self.out)
        method = METHODS[self.method](
            **given(
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                seed=self.seed,
            )
        )
        backbone = self._backbone()
        started = time.monotonic()
        self.hardware.join()
        with ExitStack() as stack:
            if not self.hardware.dry_run:
                enter_first(stack, output_folder(out.parent))
            images = self.sample.open(self.images, size=self.network.image_size, seed=self.seed)
            encoder = self.network.open(backbone, image_size=_side(images))
            if self.hardware.dry_run:
                return self.hardware.rehearse(
                    encoder, images, lambda trainer: method(encoder, images, trainer=trainer)
                )
            settings = self._settings(images, epochs=method.epochs, batch_size=method.batch_size)
            folder = out.with_name(f"{out.name}.run")
            enter_first(stack, run_folder(folder, settings, resume=self.resume))
            trainer = self.hardware.trainer(folder, resume=self.resume)
            trained = method(encoder, images, trainer=trainer)
            digest = on_first(lambda: save_encoder(trained, out, extra={"pretraining": settings}))
        data = {
            "encoder": str(out),
            "sha256": digest,
            "method": self.method,
            "images_used": len(images),
            "skipped": list(images.skipped),
            "image_size": encoder.image_size,
            "feature_dimension": trained.feature_dimension(images.size),
            "epochs": method.epochs,
            "seed": self.seed,
            "seconds": time.monotonic() - started,
        }
        return Result(data=data, show=lambda console: _show(console, data))

    def _backbone(self) -> Any:
        from mimic.encoders.architectures import build_backbone
        from mimic.encoders.factory import build_from

        if (self.network.arch is None) == (self.network.factory is None):
            raise InputError("say what to train: --arch NAME or --factory module:function")
        if self.network.arch is not None:
            return build_backbone(self.network.arch)
        return build_from(str(self.network.factory))

    def _settings(self, images: "ImageSet", **chosen: Any) -> dict[str, Any]:
        return {
            "command": "pretrain",
            "method": self.method,
            "network": self.network.arch or self.network.factory,
            "mean": self.network.mean,
            "std": self.network.std,
            "images": images.name,
            "images_used": len(images),
            "seed": self.seed,
            "learning_rate": self.learning_rate,
            **chosen,
        }


def _side(images: "ImageSet") -> int | None:
    height, width = images.size
    return height if height == width else None


def _show(console: Console, data: dict[str, Any]) -> None:
    line(
        console,
        f"Trained on {data['images_used']} images for {data['epochs']} epochs "
        f"in {data['seconds']:.1f} s; features have {data['feature_dimension']} numbers.",
    )
    line(console, f"  {data['encoder']}")
    line(console, f'It knows all of itself: mimic.load_encoder("{Path(data["encoder"])}")')
