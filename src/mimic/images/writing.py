"""Images to disk, whole or not at all: an `.npz` archive or a folder of PNG files."""

import secrets
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mimic.errors import InputError, RunError
from mimic.files import atomic_write, ensure_folder, expanded, write_json
from mimic.images.imageset import ImageSet

MANIFEST = "manifest.json"
_CHUNK = 256


def write_images(
    images: ImageSet, path: str | Path, *, manifest: dict[str, Any] | None = None
) -> Path:
    """Write images so that `open_images` reads the same ones back, in the same order.

    Args:
        images: in memory or streamed; not all of them are held at once.
        path: a file that ends in `.npz`, which is replaced (`x`, and `y` if there are labels); or
            a folder that is empty or not there yet, for files `000000.png`, `000001.png`, ...
        manifest: what to write as JSON with them: `manifest.json` in the folder, or
            `NAME.manifest.json` beside `NAME.npz`.

    Returns:
        Where the manifest is, or would be.

    Raises:
        InputError: the place cannot be written, the folder holds something, or the images have
            labels, which a folder cannot keep together with their order.
        RunError: the disk is full; nothing is left half-written.
    """
    path = expanded(path)
    if path.suffix == ".npz":
        beside = path.with_suffix(f".{MANIFEST}")
        _write_archive(images, path)
        if manifest is not None:
            write_json(beside, manifest)
        return beside
    _write_folder(images, path, manifest)
    return path / MANIFEST


def check_place(path: str | Path) -> None:
    """Check that images can be written to a place, as far as that can be told before.

    Args:
        path: a file that ends in `.npz`, or a new or empty folder.

    Raises:
        InputError: the folder holds something, or is a file.
    """
    path = expanded(path)
    if path.suffix != ".npz" and path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"'{path}' holds something already; choose another folder")


def _write_archive(images: ImageSet, path: Path) -> None:
    shape = (len(images), *images.size, 3)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        # By hand: numpy would want all pixels at once, and write the time into the file.
        with archive.open(zipfile.ZipInfo("x.npy"), "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for batch in _batches(images):
                file.write(_channels_last(batch).tobytes())
        if images.labels is not None:
            with archive.open(zipfile.ZipInfo("y.npy"), "w") as file:
                np.lib.format.write_array(file, images.labels.numpy(), allow_pickle=False)


def _write_folder(images: ImageSet, folder: Path, manifest: dict[str, Any] | None) -> None:
    if images.labels is not None:
        raise InputError(
            f"the images '{images.name}' have labels, which a folder of numbered files does not "
            "keep; write an .npz file, or the images without labels"
        )
    check_place(folder)
    digits = max(6, len(str(len(images) - 1)))
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        ensure_folder(unfinished)
        for first, batch in zip(range(0, len(images), _CHUNK), _batches(images), strict=True):
            for index, pixels in enumerate(_channels_last(batch), start=first):
                Image.fromarray(pixels).save(unfinished / f"{index:0{digits}}.png")
        if manifest is not None:
            write_json(unfinished / MANIFEST, manifest)
        unfinished.replace(folder)
    except OSError as error:
        raise RunError(
            f"'{folder}' was not written, and nothing was left half-written: "
            f"{error.strerror or error}; free some space or choose another place"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _batches(images: ImageSet) -> Iterator[Tensor]:
    for positions in torch.arange(len(images)).split(_CHUNK):
        yield images.batch(positions)


def _channels_last(batch: Tensor) -> np.ndarray[Any, Any]:
    return batch.permute(0, 2, 3, 1).contiguous().numpy()
