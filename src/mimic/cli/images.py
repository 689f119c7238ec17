"""`mimic images`: whether a set of images is fit to be used as the clean one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from mimic.cli.network import EncoderOptions
from mimic.cli.options import HardwareOptions
from mimic.cli.output import Command, Result, line

if TYPE_CHECKING:
    from mimic.encoders.encoder import Encoder
    from mimic.evaluation.familiarity import Familiarity
    from mimic.images.check import ImageCheck
    from mimic.images.pictures import Pictures

_NAMED_AT_MOST = 10
_MOST_COMPARED = 2000


@dataclass(frozen=True, kw_only=True)
class Images(Command):
    """Check a set of images: broken, constant and repeated ones, and how an encoder finds them.

    Attributes:
        action: check; ends with code 1 if something was found.
        images: a folder, an archive, a list, an .npz, a Parquet file or folder, or a name such as
            digits.
        encoder: compare the images with the statistics that this encoder has gathered in training;
            a .safetensors, .pth or .pt file, or a folder written by mimic. Of many images, a random
            2,000 are compared.
    """

    action: Annotated[Positional[Literal["check"]], arg(metavar="ACTION")]
    images: Annotated[Positional[str], arg(metavar="SRC")]
    encoder: Annotated[str | None, arg(metavar="ENC", help_behavior_hint="(optional)")] = None
    network: EncoderOptions = field(default_factory=EncoderOptions)
    hardware: HardwareOptions = field(default_factory=HardwareOptions)

    def run(self) -> Result:
        """Check."""
        from mimic.images.check import check_pictures
        from mimic.images.source import find_pictures

        encoder = None if self.encoder is None else self.network.open(self.encoder)
        pictures = find_pictures(self.images)
        found, readable = check_pictures(pictures)
        statistics = None
        if encoder is not None and len(readable):
            statistics = self._compare(encoder, pictures.subset(readable.tolist()))
        unlike = statistics is not None and statistics.unlike

        def show(console: Console) -> None:
            _show_check(console, found)
            if encoder is not None:
                _show_statistics(console, statistics)

        return Result(
            data=found.as_dict() | {"statistics": statistics.as_dict() if statistics else None},
            show=show,
            exit_code=0 if found.clean and not unlike else 1,
        )

    def _compare(self, encoder: "Encoder", readable: "Pictures") -> "Familiarity | None":
        import torch

        from mimic.evaluation.familiarity import compare_statistics
        from mimic.images.assemble import assemble

        order = torch.randperm(readable.count, generator=torch.Generator().manual_seed(0))
        chosen = readable.subset(order[:_MOST_COMPARED].tolist())
        size = None if encoder.image_size is None else (encoder.image_size, encoder.image_size)
        images = assemble(chosen, size=size)
        return compare_statistics(encoder, images, trainer=self.hardware.trainer())


def _show_check(console: Console, found: "ImageCheck") -> None:
    readable = found.count - len(found.broken)
    line(console, f"{found.name}: {found.count} images, {readable} of them readable")
    sizes = [f"{height}x{width} ({count})" for (height, width), count in found.sizes.items()]
    if sizes:
        line(console, f"height x width: {', '.join(_cut(sizes))}")
    _show_names(console, "broken", found.broken)
    _show_names(console, "of a single colour", found.constant)
    _show_names(
        console, "groups with the same pixels", [" = ".join(_cut(g)) for g in found.duplicates]
    )
    _show_names(
        console, "groups that look alike", [" ~ ".join(_cut(g)) for g in found.near_duplicates]
    )
    if found.clean:
        line(console, "none is broken, of a single colour, or there twice")


def _show_names(console: Console, what: str, names: Sequence[str]) -> None:
    if names:
        line(console, f"{what}: {len(names)}")
        for name in _cut(names):
            line(console, f"  {name}")


def _show_statistics(console: Console, found: "Familiarity | None") -> None:
    if found is None:
        text = (
            "whether the encoder was trained on such images cannot be told: "
            "it has no batch normalisation that has seen images"
        )
    else:
        wording = "unlike" if found.unlike else "not unlike"
        text = (
            f"the images look {wording} those that the encoder was trained on: distance "
            f"{found.distance:.3f} from the statistics of its {found.layers} batch normalisations, "
            f"noise {found.noise_distance:.3f}"
        )
    line(console, text)


def _cut(names: Sequence[str]) -> list[str]:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED_AT_MOST
    return [*names[:_NAMED_AT_MOST], *([f"and {more} more"] if more > 0 else [])]
