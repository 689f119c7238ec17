"""Architectures by name: `resnet18`, or with settings `resnet10:width=32,stem_stride=2`."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from mimic.encoders.resnet import BasicBlock, Bottleneck, ResNet
from mimic.encoders.vit import VisionTransformer
from mimic.errors import InputError

LARGEST = 4096
"""Value that a setting may have: what a header says is not trusted."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How to build a backbone.

    Attributes:
        summary: one line for lists.
        build: takes the settings as keywords, whole numbers with defaults.
    """

    summary: str
    build: Callable[..., nn.Module]

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings."""
        return tuple(inspect.signature(self.build).parameters)


def _resnet(block: type[BasicBlock] | type[Bottleneck], *depths: int) -> Callable[..., nn.Module]:
    def build(*, width: int = 64, stem_stride: int = 1) -> nn.Module:
        return ResNet(block, depths, width=width, stem_stride=stem_stride)

    return build


ARCHITECTURES: dict[str, Architecture] = {
    "resnet10": Architecture(
        summary="CIFAR ResNet, 4 stages of 1 basic block", build=_resnet(BasicBlock, 1, 1, 1, 1)
    ),
    "resnet18": Architecture(
        summary="CIFAR ResNet, 4 stages of 2 basic blocks", build=_resnet(BasicBlock, 2, 2, 2, 2)
    ),
    "resnet34": Architecture(
        summary="CIFAR ResNet, 3-4-6-3 basic blocks", build=_resnet(BasicBlock, 3, 4, 6, 3)
    ),
    "resnet50": Architecture(
        summary="CIFAR ResNet, 3-4-6-3 bottlenecks", build=_resnet(Bottleneck, 3, 4, 6, 3)
    ),
    "vit_tiny": Architecture(
        summary="vision transformer on patches of 4x4, 12 blocks", build=VisionTransformer
    ),
}


def build_backbone(architecture: str) -> nn.Module:
    """Build a backbone with fresh weights.

    Args:
        architecture: a name of `ARCHITECTURES`, optionally with settings after a colon. ResNets
            have `width` (channels of the first stage) and `stem_stride`; transformers have `dim`,
            `depth`, `heads` and `patch`.

    Raises:
        InputError: the name or a setting is unknown, a value is not a whole number of 1 to 4096,
            or values do not go together.
    """
    name, _, settings = architecture.partition(":")
    if name not in ARCHITECTURES:
        raise InputError(
            f"architecture '{name[:200]}' is unknown; there are {', '.join(ARCHITECTURES)}, "
            "with settings as in resnet10:width=32,stem_stride=2"
        )
    known = ARCHITECTURES[name].settings
    values: dict[str, int] = {}
    for setting in filter(None, settings.split(",")):
        key, _, value = setting.partition("=")
        if key not in known or not _is_allowed(value):
            raise InputError(
                f"setting '{setting[:200]}' of architecture '{name}' is not understood; "
                f"write {', '.join(f'{each}=N' for each in known)} with N of 1 to {LARGEST}"
            )
        values[key] = int(value)
    return ARCHITECTURES[name].build(**values)


def _is_allowed(value: str) -> bool:
    # Python refuses to read numbers of thousands of digits.
    return value.isdecimal() and len(value) < 10 and 1 <= int(value) <= LARGEST
