"""Text embeddings from a file: one vector per class, as the text tower of a CLIP model gives it."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.files import expanded
from mimic.images.arrays import NPZ_ERRORS, plain_array

EMBEDDINGS, CLASSES = "embeddings", "classes"
MOST_BYTES = 1 << 30
_WHAT = f"'{EMBEDDINGS}' (floats, [classes, dimension])"


@dataclass(frozen=True, kw_only=True)
class TextEmbeddings:
    """What every class is called in the language of an encoder.

    Attributes:
        vectors: float32 of length 1, shape (classes, dimension).
        class_names: of the rows; empty where they are known by number only.
        name: where they come from, for messages.
    """

    vectors: Tensor
    class_names: tuple[str, ...] = ()
    name: str = "texts"

    @classmethod
    def of(
        cls, vectors: Tensor, class_names: Sequence[str] = (), *, name: str = "texts"
    ) -> "TextEmbeddings":
        """Embeddings of any length above 0.

        Args:
            vectors: floats, shape (classes, dimension), 2 classes or more.
            class_names: one per row, all different, or none.
            name: where they come from, for messages.

        Raises:
            InputError: shape or kind is another one, a value is not finite, a vector is 0, or the
                names do not fit the rows.
        """
        if not vectors.is_floating_point() or vectors.ndim != 2 or len(vectors) < 2:
            raise InputError(
                f"'{name}' needs {_WHAT}, 2 classes or more; it holds {vectors.dtype} of shape "
                f"{tuple(vectors.shape)}"
            )
        vectors = vectors.float()
        if not bool(vectors.isfinite().all()) or not bool(vectors.any(dim=1).all()):
            raise InputError(f"an embedding in '{name}' is 0, NaN or infinite; make them anew")
        names = tuple(class_names)
        if names and (len(names) != len(vectors) or len(set(names)) != len(names)):
            raise InputError(
                f"'{name}' has {len(vectors)} embeddings and {len(set(names))} different names of "
                "classes; give every class one of each"
            )
        return cls(vectors=F.normalize(vectors, dim=1), class_names=names, name=name)


def read_text_embeddings(path: str | Path) -> TextEmbeddings:
    """Read text embeddings; nothing in the file is unpickled.

    Args:
        path: an `.npz` with `embeddings` [classes, dimension] and perhaps `classes`, a list of
            names; or a `.safetensors` file with the tensor `embeddings`, and perhaps the names as
            a JSON list under `classes` in its metadata.

    Raises:
        InputError: the file is missing, too large, damaged, or holds something else.
    """
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"there is no file '{path}'; check the path of the text embeddings")
    if path.suffix not in (".npz", ".safetensors"):
        raise InputError(f"text embeddings are an .npz or a .safetensors file, not '{path}'")
    if path.stat().st_size > MOST_BYTES:
        raise _too_large(path)
    vectors, names = (_read_npz if path.suffix == ".npz" else _read_safetensors)(path)
    return TextEmbeddings.of(vectors, names, name=str(path))


def _read_npz(path: Path) -> tuple[Tensor, list[str]]:
    try:
        with zipfile.ZipFile(path) as members:
            if sum(member.file_size for member in members.infolist()) > MOST_BYTES:
                raise _too_large(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays: Mapping[str, Any] = {
                key: plain_array(archive, key) for key in (EMBEDDINGS, CLASSES) if key in archive
            }
    except InputError:
        raise
    except NPZ_ERRORS as error:
        raise InputError(f"cannot read '{path}' as an .npz of plain arrays: {error}") from error
    if EMBEDDINGS not in arrays or arrays[EMBEDDINGS].dtype.kind != "f":
        raise InputError(f"'{path}' needs {_WHAT}")
    names = arrays.get(CLASSES, np.array([], dtype=str))
    if names.dtype.kind != "U" or names.ndim != 1:
        raise InputError(f"'{CLASSES}' in '{path}' must be a list of texts")
    return torch.from_numpy(arrays[EMBEDDINGS].astype(np.float32)), names.tolist()


def _read_safetensors(path: Path) -> tuple[Tensor, list[str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            vectors = file.get_tensor(EMBEDDINGS)
        names = json.loads(header.get(CLASSES, "[]"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' needs {_WHAT} as safetensors: {error}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"'{CLASSES}' in the header of '{path}' must be a list of texts")
    return vectors, names


def _too_large(path: Path) -> InputError:
    return InputError(f"'{path}' holds more than {MOST_BYTES >> 20} MiB: no text embeddings")
