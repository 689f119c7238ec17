"""Options about the network that an encoder is, for files that do not say it themselves."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from mimic.cli.output import say
from mimic.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from mimic.encoders.encoder import Encoder

_FROM_FILE = "(default: what the file says)"
_PROBE = 224
"""Side in pixels of the image that probes a network that takes any."""


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """What a bare file of weights cannot say; a file written by mimic needs none of it.

    Attributes:
        arch: one of mimic's architectures, see 'mimic list architectures', or a library's, as in
            timm:resnet18.
        factory: your own network instead: 'module:function', a function without arguments that
            builds it; the current folder is on the path.
        mean: normalisation of the input per channel, for images in [0, 1].
        std: likewise.
        image_size: height and width in pixels that the encoder expects.
        stages: dotted names of submodules, separated by commas; by default they are found by
            probing.
    """

    arch: Annotated[str | None, arg(metavar="NAME", help_behavior_hint=_FROM_FILE)] = None
    factory: Annotated[
        str | None, arg(metavar="MODULE:FUNCTION", help_behavior_hint="(optional)")
    ] = None
    mean: Annotated[str | None, arg(metavar="R,G,B", help_behavior_hint=_FROM_FILE)] = None
    std: Annotated[str | None, arg(metavar="R,G,B", help_behavior_hint=_FROM_FILE)] = None
    image_size: Annotated[int | None, arg(metavar="N", help_behavior_hint=_FROM_FILE)] = None
    stages: Annotated[str | None, arg(metavar="A,B,C", help_behavior_hint=_FROM_FILE)] = None

    def open(self, source: "str | nn.Module", *, image_size: int | None = None) -> "Encoder":
        """Load an encoder with these options.

        Args:
            source: ENC, or a backbone.
            image_size: taken where the option is not given.

        Raises:
            InputError: as `load_encoder` does, or an option is not understood.
        """
        mean, std = _three("--mean", self.mean), _three("--std", self.std)
        stages = None if self.stages is None else [name.strip() for name in self.stages.split(",")]
        from mimic.encoders.hub import is_hub_name
        from mimic.encoders.loading import load_encoder

        encoder = load_encoder(
            source,
            arch=self.arch,
            factory=self.factory,
            mean=mean,
            std=std,
            image_size=image_size if self.image_size is None else self.image_size,
            stages=stages,
        )
        if isinstance(source, str) and is_hub_name(source):
            _note_input(source, encoder)
        elif isinstance(source, str) and (self.arch or self.factory) and _is_raw(encoder):
            say(
                "note",
                f"'{source}' does not say how images were normalised, so none are; if "
                "it was trained with a mean and a deviation, give --mean and --std",
            )
        return encoder


def _note_input(source: str, encoder: "Encoder") -> None:
    """Tell what is known about the input and the feature, before any work starts."""
    mean, std = (
        ",".join(f"{value:.4g}" for value in values.flatten().tolist())
        for values in (encoder.mean, encoder.std)
    )
    size = encoder.image_size
    sides = "of any size" if size is None else f"of {size}x{size} pixels"
    length = encoder.feature_dimension((size or _PROBE, size or _PROBE))
    say(
        "note",
        f"{source} takes images {sides}, mean {mean}, std {std} (--image-size, --mean and --std "
        f"change that), and gives a feature of {length} numbers",
    )


def _is_raw(encoder: "Encoder") -> bool:
    """Whether pixels reach the backbone as they are, in [0, 1]."""
    return bool((encoder.mean == 0).all() and (encoder.std == 1).all())


def _three(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise InputError(
            f"{option} '{text}' is not understood; write three numbers as in 0.49,0.48,0.45"
        )
    return values
