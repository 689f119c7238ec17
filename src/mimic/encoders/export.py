"""Writing encoders: a file that knows itself, and a drop-in for the file that came in."""

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mimic.encoders.checkpoint import read_checkpoint
from mimic.encoders.description import Description
from mimic.encoders.dropin import drop_in_bytes, stored_tensor
from mimic.encoders.encoder import Encoder
from mimic.encoders.hub import companions
from mimic.encoders.loading import ENCODER_FILE, MANIFEST_FILE
from mimic.encoders.matching import match_backbone
from mimic.errors import InputError
from mimic.files import atomic_write, write_json

MANIFEST_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Files that were written, with the SHA-256 of their bytes.

    Attributes:
        encoder: the file that knows itself, for mimic.
        drop_in: the replacement of the file that came in, or None where there was none; the same
            file as `encoder` if that is what the original is called.
        manifest: what went in, what came out, and how.
        others: further places in the drop-in where the same network sits, a momentum encoder say,
            whose weights are still those of the file that came in.
    """

    encoder: Path
    encoder_sha256: str
    drop_in: Path | None
    drop_in_sha256: str | None
    manifest: Path
    others: tuple[str, ...]


def save_encoder(
    encoder: Encoder,
    path: str | Path,
    *,
    half: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Write the backbone as a safetensors file that `load_encoder` reads without any option.

    Args:
        encoder: what to write.
        path: the file, in one step: whole or not at all.
        half: store floats in 16 bits, half the size.
        extra: plain JSON values to keep in the header.

    Returns:
        The SHA-256 of the file.

    Raises:
        InputError: the folder cannot be written.
        RunError: the disk is full, or a weight is not finite (or not in 16 bits).
    """
    tensors = {
        name: stored_tensor(
            name, tensor, torch.half if half and tensor.is_floating_point() else tensor.dtype
        )
        for name, tensor in encoder.backbone.state_dict().items()
    }
    header = _describe(encoder, extra or {}).header()
    return _write(Path(path), safetensors.torch.save(tensors, metadata=header))


def check_destination(original: str | Path, directory: str | Path) -> None:
    """Check that an export to `directory` would not overwrite the file that came in.

    Raises:
        InputError: it would, or the file has the name of the manifest.
    """
    original, drop_in = Path(original), Path(directory) / Path(original).name
    if drop_in.resolve() == original.resolve():
        raise InputError(
            f"the purified encoder would overwrite '{original}'; choose another folder than "
            f"'{directory}'"
        )
    if original.name == MANIFEST_FILE:
        raise InputError(f"an encoder called {MANIFEST_FILE} cannot be exported; rename the file")


def export_purified(
    encoder: Encoder,
    *,
    original: str | Path | None,
    directory: str | Path,
    manifest: Mapping[str, Any],
    beside: Callable[[Exported], object] | None = None,
) -> Exported:
    """Write a purified encoder: drop-in replacement, `encoder.safetensors` and `manifest.json`.

    The drop-in has the file name, the container, and the tensor names, shapes and dtypes of
    `original`. Tensors outside the encoder (projection heads, optimiser state, a momentum copy) are
    kept as they are; the manifest lists them. What a library reads beside its weights
    (`config.json`) is copied. The manifest comes last: where it is, all is.

    Args:
        encoder: the purified encoder.
        original: the file that came in; None where the encoder was a module.
        directory: where the files go; created.
        beside: writes what else belongs into the folder, after the encoders and before the
            manifest, whose file is not there yet.
        manifest: settings, seed and whatever else the caller knows, plain JSON values; the facts
            that this function adds (`format`, `description`, `versions`, `input`,
            `output`, `kept_unchanged`, `other_encoders_unchanged`) win over keys of the same name.

    Raises:
        InputError: `original` is unreadable, does not fit the encoder, would be overwritten, or is
            not any more the file that the encoder was loaded from.
        RunError: the disk is full, or a weight is not finite in the dtype of the original file.
    """
    directory = Path(directory)
    encoder_path = directory / ENCODER_FILE
    facts = _facts(encoder)
    if original is None:
        encoder_sha256 = save_encoder(encoder, encoder_path)
        drop_in, drop_in_sha256 = None, None
    else:
        check_destination(original, directory)
        drop_in = directory / Path(original).name
        if drop_in != encoder_path:
            encoder_sha256 = save_encoder(encoder, encoder_path)
        drop_in_sha256, found = _write_drop_in(encoder, Path(original), drop_in)
        facts |= found
        for companion in companions(encoder.architecture, Path(original)):
            _write(directory / companion.name, companion.read_bytes())
        if drop_in == encoder_path:
            encoder_sha256 = drop_in_sha256
    output = {
        "encoder": {"file": ENCODER_FILE, "sha256": encoder_sha256},
        "drop_in": drop_in and {"file": drop_in.name, "sha256": drop_in_sha256},
    }
    written = Exported(
        encoder=encoder_path,
        encoder_sha256=encoder_sha256,
        drop_in=drop_in,
        drop_in_sha256=drop_in_sha256,
        manifest=directory / MANIFEST_FILE,
        others=tuple(facts["other_encoders_unchanged"]),
    )
    if beside is not None:
        beside(written)
    write_json(written.manifest, {**manifest, **facts, "output": output})
    return written


def _write_drop_in(encoder: Encoder, original: Path, drop_in: Path) -> tuple[str, dict[str, Any]]:
    checkpoint = read_checkpoint(original)
    origin = encoder.origin
    if origin and origin.path == str(original) and origin.sha256 != checkpoint.sha256:
        raise InputError(
            f"'{original}' was changed after the encoder was loaded from it, so no drop-in was "
            "written; put the old file back and run the same again, or purify the new one"
        )
    match = match_backbone(checkpoint, encoder.backbone)
    # Where the names collide, one file does both duties: the drop-in then describes itself as well.
    header = _describe(encoder, {}).header() if drop_in.name == ENCODER_FILE else None
    digest = _write(drop_in, drop_in_bytes(checkpoint, match, encoder.backbone, header=header))
    replaced = {".".join(map(str, (*match.container, key))) for key in match.names.values()}
    facts = {
        "input": {
            "file": str(original),
            "sha256": checkpoint.sha256,
            "kind": checkpoint.kind,
            "container": list(match.container),
            "prefix": match.prefix,
            "layout": match.layout,
        },
        "kept_unchanged": [name for name in checkpoint.tensor_names() if name not in replaced],
        "other_encoders_unchanged": list(match.others),
    }
    return digest, facts


def _facts(encoder: Encoder) -> dict[str, Any]:
    described = asdict(_describe(encoder, {}))
    del described["extra"]
    try:
        own = version("mimic-purify")
    except PackageNotFoundError:  # run from a checkout that is not installed
        own = "unknown"
    return {
        "format": MANIFEST_VERSION,
        "description": described,
        "versions": {"mimic": own, "torch": torch.__version__, "python": platform.python_version()},
        "input": None,
        "kept_unchanged": [],
        "other_encoders_unchanged": [],
    }


def _describe(encoder: Encoder, extra: Mapping[str, Any]) -> Description:
    return Description(
        architecture=encoder.architecture,
        factory=None if encoder.origin is None else encoder.origin.factory,
        mean=_decimals(encoder.mean),
        std=_decimals(encoder.std),
        image_size=encoder.image_size,
        stages=encoder.stages,
        extra=extra,
    )


def _decimals(values: Tensor) -> tuple[float, ...]:
    """The shortest decimals that give the same float32: 0.4914 rather than 0.4914000034."""
    return tuple(float(str(value)) for value in values.flatten().cpu().numpy())


def _write(path: Path, content: bytes) -> str:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
