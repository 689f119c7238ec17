"""Generated: a trained image-to-image network as the trigger, kept in a file that knows itself."""

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mimic.attacks.generators import PixelGenerator, ResNetGenerator, UNet
from mimic.attacks.triggers.trigger import Trigger
from mimic.errors import InputError
from mimic.files import atomic_write
from mimic.images.pixels import through_floats

HEADER_KEY = "mimic-generator"
VERSION = 1
_CHUNK = 256
_MOST_CHANNELS = 1024
_MOST_PARTS = 64


@dataclass(frozen=True, kw_only=True)
class Generated(Trigger):
    """What a generator makes of the image. Triggers with equal weights and settings are equal.

    Attributes:
        generator: copied; from then on in eval mode, frozen, and in float32 on any device.
        path: the file it is in, or None while it is in none.
        sha256: of what a file of it holds.
    """

    generator: PixelGenerator = field(repr=False, compare=False)
    path: str | None = field(default=None, compare=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        own = copy.deepcopy(self.generator).cpu().eval().requires_grad_(False)
        object.__setattr__(self, "generator", own)
        object.__setattr__(self, "sha256", hashlib.sha256(_content(own)).hexdigest())

    @property
    def spelling(self) -> str:
        """`generator:FILE`; a name that no file has, as long as the generator is in none."""
        return f"generator:{self.path or f'unsaved-{self.sha256[:16]}'}"

    def describe(self) -> str:
        """The network, its size, where it is, and how far it may change a pixel."""
        network, budget = self.generator.network, self.generator.budget
        weights = sum(parameter.numel() for parameter in network.parameters())
        limit = "without a limit" if budget is None else f"by at most {255 * budget:.4g} levels"
        where = "" if self.path is None else f" in '{self.path}'"
        return (
            f"a generator ({_name(network)} of {weights} weights){where}, "
            f"which changes every pixel {limit}"
        )

    def stamp(self, images: Tensor) -> Tensor:
        """Run the generator."""
        return draw(self.generator.to(images.device), images)


@torch.no_grad()
def draw(generator: PixelGenerator, images: Tensor) -> Tensor:
    """What a generator makes of images, in their own dtype; uint8 is rounded.

    Args:
        generator: in the mode it has; its weights get no gradient.
        images: valid for `Trigger.__call__`, on the generator's device.
    """
    return through_floats(
        images, lambda floats: torch.cat([generator(part) for part in floats.split(_CHUNK)])
    )


def save_generator(trigger: Generated, path: str | Path) -> Generated:
    """Write the trigger to a safetensors file, in one step: whole or not at all.

    Returns:
        The same trigger, which from now on spells itself by that file.

    Raises:
        InputError: the file name does not end in .safetensors, or the folder cannot be written.
        RunError: the disk is full.
    """
    if Path(path).suffix != ".safetensors":
        raise InputError(f"a generator goes into a .safetensors file, not '{path}'")
    with atomic_write(path) as temporary:
        temporary.write_bytes(_content(trigger.generator))
    return replace(trigger, path=str(path))


def load_generator(path: str | Path) -> Generated:
    """The trigger in a file that `save_generator` wrote; no code from the file is ever run.

    Raises:
        InputError: the file is missing, is no safetensors file, was not written by
            `save_generator`, or its tensors are not those of the network that it names.
    """
    tensors, header = _read(path)
    if HEADER_KEY not in header:
        raise InputError(
            f"'{path}' holds no generator; one is made by an attack that learns its trigger"
        )
    try:
        said = json.loads(header[HEADER_KEY])
        newer = int(said["version"]) > VERSION
        generator = None if newer else _generator(said, tensors)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"the generator in '{path}' is damaged ({str(error).splitlines()[0]}); "
            "take another copy of the file"
        ) from error
    if generator is None:
        raise InputError(f"'{path}' was written by a newer mimic; update mimic to read it")
    return Generated(generator=generator, path=str(path))


def _read(path: str | Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except FileNotFoundError as error:
        raise InputError(f"there is no file '{path}'; check the path of the generator") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"'{path}' is not a whole safetensors file ({error})") from error


def _generator(said: Any, tensors: dict[str, Tensor]) -> PixelGenerator:
    with torch.device("meta"):
        network = _build(said["network"], said["settings"])
    _fill(network, tensors)
    mean, std = ([_finite(value) for value in said[key]] for key in ("mean", "std"))
    budget = None if said["budget"] is None else _finite(said["budget"])
    return PixelGenerator(network, mean=mean, std=std, budget=budget)


def _content(generator: PixelGenerator) -> bytes:
    """The bytes of the file: weights of the network, and all else in the header."""
    network = generator.network
    description = {
        "version": VERSION,
        "network": _name(network),
        "settings": network.settings,
        "mean": generator.mean.flatten().tolist(),
        "std": generator.std.flatten().tolist(),
        "budget": generator.budget,
    }
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    return safetensors.torch.save(tensors, {HEADER_KEY: json.dumps(description, sort_keys=True)})


def _name(network: UNet | ResNetGenerator) -> str:
    return "unet" if isinstance(network, UNet) else "resnet"


def _build(name: Any, settings: Any) -> UNet | ResNetGenerator:
    """The network that a header names; whatever it says, only a bounded one is built."""
    if name == "unet":
        widths = settings["widths"]
        if not 1 <= len(widths) <= _MOST_PARTS:
            raise ValueError(f"{len(widths)} resolutions")
        return UNet(widths=[_count(width, 1, _MOST_CHANNELS) for width in widths])
    if name == "resnet":
        return ResNetGenerator(
            width=_count(settings["width"], 1, _MOST_CHANNELS),
            blocks=_count(settings["blocks"], 0, _MOST_PARTS),
        )
    raise ValueError(f"a network called {name!r}")


def _fill(network: UNet | ResNetGenerator, tensors: dict[str, Tensor]) -> None:
    """Give a network without storage the weights of a file."""
    for name, wanted in network.state_dict().items():
        if name in tensors and tensors[name].dtype != wanted.dtype:
            raise ValueError(f"'{name}' is {tensors[name].dtype}")
        if name in tensors and not tensors[name].isfinite().all():
            raise ValueError(f"'{name}' is not finite")
    network.load_state_dict(tensors, strict=True, assign=True)


def _count(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{value!r} where {least} to {most} was expected")
    return value


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} where a number was expected")
    return float(value)
