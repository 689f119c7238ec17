"""From what a user holds (a file, a folder, a module) to an Encoder."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from mimic.encoders.blueprint import Blueprint, find_blueprint, tower_blueprint
from mimic.encoders.checkpoint import Checkpoint, read_checkpoint
from mimic.encoders.description import Description, read_description
from mimic.encoders.encoder import Encoder
from mimic.encoders.factory import build_from
from mimic.encoders.hub import is_hub_name, open_source
from mimic.encoders.matching import match_backbone, recognize
from mimic.encoders.origin import Origin
from mimic.encoders.weights import matched_tensors
from mimic.errors import InputError
from mimic.files import expanded, sha256

ENCODER_FILE = "encoder.safetensors"
MANIFEST_FILE = "manifest.json"

Factory = str | Callable[[], nn.Module]


def load_encoder(
    source: str | Path | nn.Module,
    *,
    arch: str | None = None,
    factory: Factory | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    image_size: int | None = None,
    stages: Sequence[str] | None = None,
) -> Encoder:
    """Load an encoder; no code of the file runs.

    Args:
        source: a `.safetensors`, `.pth` or `.pt` file, a folder that mimic wrote, a module, or a
            model of a public library: `timm:NAME`, `torchvision:NAME`, `open_clip:NAME`, each
            with `@FILE` for weights of one's own, or `hf:DIR_OR_REPO` (see `open_source`).
        arch: one of our architectures, such as `resnet10:width=32,stem_stride=2`, or a library's,
            such as `timm:resnet18`.
        factory: instead of `arch`, the user's own network: `module:function` or a function without
            arguments, which builds it with fresh random weights.
        mean: three values, for images in [0, 1]; without them those of the file or the library, or
            zeros.
        std: likewise; without them those of the file or the library, or ones.
        image_size: height and width that the encoder expects, in pixels.
        stages: dotted names of submodules of the backbone; without them those of the file, or they
            are found by probing.

    Returns:
        The encoder on the CPU, in float32 and evaluation mode; `origin` says where it came from.

    Raises:
        InputError: the source is missing or unreadable, would execute code, does not fit the
            architecture, or does not say enough about itself; a library's model does not take
            images of that size.
        RunError: weights cannot be downloaded.
    """
    if arch is not None and factory is not None:
        raise InputError("give an architecture (arch) or a factory, not both")
    if isinstance(source, nn.Module):
        backbone, said, blueprint, origin = _adopt(source, arch, factory)
    elif isinstance(source, str) and is_hub_name(source):
        backbone, said, blueprint, origin = _take(source, arch, factory)
    else:
        backbone, said, blueprint, origin = _read(_file_of(source), arch, factory)
    encoder = Encoder(
        backbone,
        mean=said.mean if mean is None else mean,
        std=said.std if std is None else std,
        image_size=said.image_size if image_size is None else image_size,
        stages=said.stages if stages is None else stages,
        architecture=None if blueprint is None else blueprint.architecture,
        rebuild=None if blueprint is None else blueprint.build,
        origin=origin,
    ).eval()
    if image_size is not None and blueprint is not None and is_hub_name(str(encoder.architecture)):
        _check_size(encoder, image_size)
    return encoder


_Loaded = tuple[nn.Module, Description, Blueprint | None, Origin | None]


def _adopt(module: nn.Module, arch: str | None, factory: Factory | None) -> _Loaded:
    if isinstance(module, Encoder):
        raise InputError(
            "this is an Encoder already; use it as it is, or pass its backbone for other settings"
        )
    given = arch is not None or factory is not None
    blueprint = _blueprint(arch, factory) if given else None
    origin = Origin(factory=None if blueprint is None else blueprint.factory)
    return module, Description(), blueprint, origin


def _take(source: str, arch: str | None, factory: Factory | None) -> _Loaded:
    if arch is not None or factory is not None:
        raise InputError(f"'{source}' says which network it is; leave out the other name for it")
    tower, weights = open_source(source)
    blueprint = tower_blueprint(tower)
    if isinstance(weights, nn.Module):
        return weights, blueprint.said, blueprint, None
    checkpoint = read_checkpoint(weights)
    said = read_description(checkpoint.metadata, weights) or blueprint.said
    return _filled(checkpoint, said, blueprint)


def _read(path: Path, arch: str | None, factory: Factory | None) -> _Loaded:
    checkpoint = read_checkpoint(path)
    said = read_description(checkpoint.metadata, path)
    if arch is None and factory is None:
        if said is None or said.architecture is None:
            raise _says_too_little(checkpoint, said or Description())
        arch = said.architecture
    blueprint = _blueprint(arch, factory)
    return _filled(checkpoint, said or blueprint.said, blueprint)


def _filled(checkpoint: Checkpoint, said: Description, blueprint: Blueprint) -> _Loaded:
    if blueprint.architecture is not None and not is_hub_name(blueprint.architecture):
        # A header may name a network that no memory holds: compare the shapes before it is built.
        with torch.device("meta"):
            match_backbone(checkpoint, blueprint.build())
    backbone = blueprint.build()
    match = match_backbone(checkpoint, backbone)
    backbone.load_state_dict(matched_tensors(checkpoint, match, backbone))
    origin = Origin(
        path=str(checkpoint.path),
        sha256=checkpoint.sha256,
        kind=checkpoint.kind,
        container=match.container,
        prefix=match.prefix,
        layout=match.layout,
        factory=blueprint.factory,
    )
    return backbone, said, blueprint, origin


def _blueprint(arch: str | None, factory: Factory | None) -> Blueprint:
    if factory is not None:
        spelling = factory if isinstance(factory, str) else None
        return Blueprint(build=partial(build_from, factory), factory=spelling)
    if arch is None:
        raise InputError("give an architecture (arch) or a factory")
    return find_blueprint(arch)


def _check_size(encoder: Encoder, image_size: int) -> None:
    try:
        encoder.feature_dimension((image_size, image_size))
    except Exception as error:  # networks refuse a size in as many ways as there are networks
        raise InputError(
            f"'{encoder.architecture}' does not take images of {image_size}x{image_size} "
            f"({error}); leave --image-size out, or build it for them, as in "
            f"timm:NAME:img_size={image_size}"
        ) from error


def _file_of(source: str | Path) -> Path:
    path = expanded(source)
    if not path.is_dir():
        return path
    inside = path / ENCODER_FILE
    if not inside.is_file() or not (path / MANIFEST_FILE).is_file():
        raise InputError(
            f"folder '{path}' was not written by mimic (it has no {ENCODER_FILE} with a "
            f"{MANIFEST_FILE}); name the checkpoint file itself"
        )
    _check_manifest(path / MANIFEST_FILE)
    return inside


def _check_manifest(path: Path) -> None:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{path}' is not readable as JSON ({error}); name {ENCODER_FILE} itself"
        ) from error
    try:
        written = manifest["output"]["encoder"]["sha256"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' was not written by mimic; name {ENCODER_FILE} itself"
        ) from error
    if written != sha256(path.with_name(ENCODER_FILE)):
        raise InputError(
            f"'{path.with_name(ENCODER_FILE)}' is not the file that {MANIFEST_FILE} describes: it "
            "was changed or damaged; take another copy, or name the file itself if you trust it"
        )


def _says_too_little(checkpoint: Checkpoint, said: Description) -> InputError:
    path = checkpoint.path
    if said.factory is not None:
        return InputError(
            f"'{path}' was built by the factory '{said.factory}'; a file must not choose which "
            f"code runs, so say it yourself: --factory {said.factory}"
        )
    looks = recognize(checkpoint)
    if looks is None:
        return InputError(
            f"'{path}' does not say which network it belongs to; give --arch NAME (see 'mimic list "
            "architectures') or --factory module:function, and --mean, --std and --image-size "
            "where it was trained with them"
        )
    joint = "," if ":" in looks else ":"
    return InputError(
        f"'{path}' does not say which network it belongs to; its tensors look like --arch {looks} "
        f"(or --arch {looks}{joint}stem_stride=2: shapes do not tell the stride of the stem); "
        "give it, with --mean, --std and --image-size where it was trained with them"
    )
