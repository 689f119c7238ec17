"""Architectures by name: `resnet18`, or with settings `resnet10:width=32,stem_stride=2`."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from mimic.encoders.resnet import BasicBlock, Bottleneck, ResNet
from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How to build a backbone, and what it expects by default."""

    summary: str
    build: Callable[..., nn.Module]


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
}
_SETTINGS = ("width", "stem_stride")


def build_backbone(architecture: str) -> nn.Module:
    """Build a backbone with fresh weights.

    Args:
        architecture: a name of `ARCHITECTURES`, optionally with settings after a colon:
            `width` (channels of the first stage) and `stem_stride`.

    Raises:
        InputError: the name or a setting is unknown, or a value is not a positive whole number.
    """
    name, _, settings = architecture.partition(":")
    if name not in ARCHITECTURES:
        raise InputError(
            f"architecture '{name}' is unknown; there are {', '.join(ARCHITECTURES)}, "
            "with settings as in resnet10:width=32,stem_stride=2"
        )
    values: dict[str, int] = {}
    for setting in filter(None, settings.split(",")):
        key, _, value = setting.partition("=")
        if key not in _SETTINGS or not value.isdecimal() or int(value) < 1:
            raise InputError(
                f"setting '{setting}' of architecture '{name}' is not understood; "
                f"write {', '.join(f'{known}=N' for known in _SETTINGS)} with N of 1 or more"
            )
        values[key] = int(value)
    return ARCHITECTURES[name].build(**values)
