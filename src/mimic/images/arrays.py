"""Images and labels in a NumPy archive: `x` [N, height, width, 3] uint8 and perhaps `y`."""

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mimic.errors import InputError
from mimic.images.labels import LABELS_END
from mimic.images.pictures import Pictures

NPZ_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    TypeError,  # a plain .npy file under this name has no `with`
    RuntimeError,  # packed with a password or by an unknown method
    OverflowError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)
"""What NumPy raises for an `.npz` that is damaged or none."""


def npz_pictures(path: Path, *, name: str, labels: bool = False) -> Pictures:
    """The images of an `.npz` archive; nothing in it is unpickled.

    Args:
        path: the archive, with `x` uint8 of shape (n, height, width, 3) and, if labels are
            asked for, `y` of shape (n,) or (n, 1): integers from 0 up, below `LABELS_END`.
        name: the name of the source in messages.
        labels: read `y` as well.

    Raises:
        InputError: the archive is unreadable, or an array is missing or of another kind.
    """
    wanted = ("x", "y") if labels else ("x",)
    arrays = _load(path, wanted)
    images = _checked_images(arrays["x"], name)
    return Pictures(
        count=len(images),
        picture=lambda index: Image.fromarray(images[index]),
        title=lambda index: f"image {index}",
        name=name,
        labels=_checked_labels(arrays["y"], len(images), name) if labels else None,
    )


def plain_array(archive: Any, key: str) -> NDArray[Any]:
    """What an opened `.npz` holds under a key.

    Raises:
        ValueError: it is no array; NumPy gives the bytes then.
    """
    value = archive[key]
    if not isinstance(value, np.ndarray):
        raise ValueError(f"'{key}' is damaged or no array")
    return value


def _load(path: Path, wanted: tuple[str, ...]) -> dict[str, NDArray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [key for key in wanted if key not in archive]
            if not missing:
                return {key: plain_array(archive, key) for key in wanted}
            held = ", ".join(archive) or "nothing"
    except MemoryError as error:
        raise InputError(f"'{path}' does not fit into memory; split it") from error
    except NPZ_ERRORS as error:
        raise InputError(f"cannot read '{path}' as an .npz of plain arrays: {error}") from error
    what = "images as 'x' (uint8, [N, height, width, 3])" if "x" in missing else "labels as 'y'"
    raise InputError(f"'{path}' needs {what}; it holds {held}")


def _checked_images(images: NDArray, name: str) -> NDArray[np.uint8]:
    if images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3 and images.size:
        return images
    hint = ""
    if images.ndim == 4 and images.shape[1] == 3 != images.shape[3]:
        hint = "; channels come last: x.transpose(0, 2, 3, 1)"
    elif images.dtype.kind == "f":
        hint = "; floats in [0, 1] become pixels with (x * 255).round().astype('uint8')"
    raise InputError(
        f"'x' in '{name}' must be uint8 of shape (N, height, width, 3), none of them 0, "
        f"and is {images.dtype} of shape {images.shape}{hint}"
    )


def _checked_labels(labels: NDArray, count: int, name: str) -> Tensor:
    flat = labels.dtype.kind in "iu" and labels.shape in {(count,), (count, 1)}
    if not flat or labels.min() < 0 or labels.max() >= LABELS_END:
        raise InputError(
            f"'y' in '{name}' must be integers from 0 up, below {LABELS_END}, of shape ({count},) "
            f"or ({count}, 1), and is {labels.dtype} of shape {labels.shape}"
            + (f" from {labels.min()} to {labels.max()}" if flat else "")
        )
    return torch.from_numpy(labels.reshape(count).astype(np.int64))
