"""Blueprint: how to build a backbone, how to name it, and what is known of it besides."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.description import Description
from mimic.encoders.hub import Tower, find_tower, is_hub_name
from mimic.encoders.projected import build_projected, projected_spelling, split_projection


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """How to build a backbone.

    Attributes:
        build: builds it with fresh weights.
        architecture: the spelling that finds it again, or None.
        factory: the user's `module:function` that builds it, or None.
        said: normalisation and size that its library knows.
    """

    build: Callable[[], nn.Module]
    architecture: str | None = None
    factory: str | None = None
    said: Description = field(default_factory=Description)


def find_blueprint(architecture: str) -> Blueprint:
    """The blueprint of an architecture by name; downloads nothing.

    Args:
        architecture: one of ours, such as `resnet10:width=32,stem_stride=2`, or a library's, such
            as `timm:resnet18`; either with a projection, as in `resnet10+linear512x2048`.

    Raises:
        InputError: it is unknown, or a setting of it; its library is not installed.
    """
    inner, lengths = split_projection(architecture)
    if is_hub_name(inner):
        found = tower_blueprint(find_tower(inner))
    else:
        found = Blueprint(build=partial(build_backbone, inner), architecture=inner)
    return found if lengths is None else projected_blueprint(found, *lengths)


def tower_blueprint(tower: Tower) -> Blueprint:
    """The blueprint of a library's tower."""
    said = Description(mean=tower.mean, std=tower.std, image_size=tower.image_size)
    return Blueprint(build=tower.build, architecture=tower.architecture, said=said)


def projected_blueprint(blueprint: Blueprint, inputs: int, outputs: int) -> Blueprint:
    """The same with a linear layer behind it, from features of one length to another one."""
    return replace(
        blueprint,
        build=partial(build_projected, blueprint.build, inputs, outputs),
        architecture=projected_spelling(str(blueprint.architecture), inputs, outputs),
    )
