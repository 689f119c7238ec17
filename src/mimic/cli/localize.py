"""`mimic localize`: where in an encoder the knowledge lies."""

from dataclasses import dataclass, field
from typing import Annotated

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
from mimic.cli.output import Command, Result, line, stage_table


@dataclass(frozen=True, kw_only=True)
class Localize(Command):
    """Measure how much of an encoder's feature can be read off each of its stages.

    Attributes:
        encoder: a .safetensors, .pth or .pt file, or a folder written by mimic.
        images: clean images, without labels: a folder, an .npz, a Parquet file or folder, or a name
            such as digits. Of many, a random 2,000 are looked at.
        estimator: of mutual information, see 'mimic list estimators'.
        seed: decides everything random.
    """

    encoder: EncoderSource
    images: Source
    network: EncoderOptions = field(default_factory=EncoderOptions)
    sample: SampleOptions = field(default_factory=SampleOptions)
    estimator: Annotated[str, arg(metavar="NAME")] = "infonce"
    seed: Seed = 0
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Measure."""
        from mimic.information.localize import localize

        encoder = self.network.open(self.encoder)
        images = self.sample.open(self.images, size=encoder.image_size, seed=self.seed)
        found = localize(
            encoder,
            images,
            estimator=self.estimator,
            seed=self.seed,
            trainer=self.hardware.trainer(),
        )
        data = found.as_dict()

        def show(console: Console) -> None:
            line(
                console,
                f"Where the feature of '{self.encoder}' comes from: {found.estimator} on "
                f"{found.images} images, {found.seconds:.1f} s.",
            )
            console.print(stage_table(data["stages"]))

        return Result(data=data, show=show)
