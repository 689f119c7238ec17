"""A projection behind a backbone: features of one length become features of another one.

It is spelled behind the architecture: `resnet10:width=16+linear128x256` is that ResNet, whose
feature of 128 numbers a linear layer takes to 256. So a file of it knows all of itself.
"""

import re
from collections.abc import Callable

from torch import Tensor, nn

from mimic.errors import InputError

LONGEST = 16_384
"""Numbers of a feature that a projection may be asked for: what a header says is not trusted."""
_SPELLING = re.compile(r"(?P<inner>.+)\+linear(?P<inputs>[1-9]\d{0,5})x(?P<outputs>[1-9]\d{0,5})")


class Projected(nn.Module):
    """A backbone, and a linear layer on its feature.

    Args:
        backbone: as `Encoder` takes it.
        inputs: length of its feature.
        outputs: length of the projected one.
    """

    def __init__(self, backbone: nn.Module, inputs: int, outputs: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(inputs, outputs)
        self.channels_last = bool(getattr(backbone, "channels_last", False))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (batch, 3, height, width) to features (batch, outputs).

        Raises:
            InputError: the backbone's feature is not of the length that was said.
        """
        features = self.backbone(images).flatten(1)
        if features.shape[1] != self.projection.in_features:
            raise InputError(
                f"the projection takes features of length {self.projection.in_features}, but the "
                f"backbone gives {features.shape[1]}; the architecture is not the right one"
            )
        return self.projection(features)


def build_projected(build: Callable[[], nn.Module], inputs: int, outputs: int) -> Projected:
    """Build a backbone with fresh weights and put a fresh projection behind it."""
    return Projected(build(), inputs, outputs)


def projected_spelling(architecture: str, inputs: int, outputs: int) -> str:
    """The architecture with its projection."""
    return f"{architecture}+linear{inputs}x{outputs}"


def split_projection(architecture: str) -> tuple[str, tuple[int, int] | None]:
    """An architecture without its projection, and the two lengths; None where it has none.

    Raises:
        InputError: a length is above 16,384.
    """
    found = _SPELLING.fullmatch(architecture)
    if found is None:
        return architecture, None
    lengths = int(found["inputs"]), int(found["outputs"])
    if max(lengths) > LONGEST:
        raise InputError(
            f"architecture '{architecture[:200]}' asks for features of {max(lengths)} numbers; "
            f"{LONGEST} are the most"
        )
    return found["inner"], lengths
