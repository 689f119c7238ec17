"""Pictures and arrays from disk, read without trust and with errors that a user can act on."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mimic.errors import InputError
from mimic.files import expanded
from mimic.images.arrays import NPZ_ERRORS, plain_array
from mimic.images.decode import BrokenImageError, decode, fit


def read_picture(path: str | Path, *, size: tuple[int, int] | None = None) -> Tensor:
    """A picture as RGB.

    Args:
        path: any format of `mimic.images.decode`; transparent parts become white.
        size: height and width to scale and crop it to; None keeps the file's own.

    Returns:
        uint8, shape (3, height, width).

    Raises:
        InputError: the file is missing or is not a picture.
    """
    file = _existing(path)
    try:
        picture = decode(file.read_bytes())
    except (BrokenImageError, OSError) as error:
        raise InputError(f"'{path}' cannot be read as a picture: {error}") from error
    return torch.from_numpy(fit(picture, size or (picture.height, picture.width)).copy())


def read_arrays(path: str | Path, *keys: str) -> list[np.ndarray[Any, Any]]:
    """The arrays stored under `keys` in an `.npz` file, in that order; pickles are refused.

    Raises:
        InputError: the file is missing or no `.npz`, or a key is not in it.
    """
    try:
        with _existing(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if not missing:
                return [plain_array(archive, key) for key in keys]
            held = ", ".join(archive.files) or "nothing"
    except InputError:
        raise
    except NPZ_ERRORS as error:
        raise InputError(f"'{path}' cannot be read as an .npz of plain arrays: {error}") from error
    raise InputError(
        f"'{path}' has no array '{missing[0]}'; it holds {held}, and {', '.join(keys)} are needed"
    )


def _existing(path: str | Path) -> Path:
    found = expanded(path)
    try:
        if found.is_file():
            return found
    except OSError:  # a name that is too long, a folder that may not be entered
        pass
    raise InputError(f"there is no file '{path}'; check the path")
