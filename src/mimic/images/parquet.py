"""Images in Parquet files in the Hugging Face layout: `image.bytes`, `label`, a split per file."""

import json
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from mimic.errors import InputError, RunError
from mimic.images.assemble import MEMORY_LIMIT, Pictures
from mimic.images.decode import BrokenImageError, decode

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")

_SHARD = re.compile(r"^(?P<split>.+?)-(?P<shard>\d+)-of-(?P<shards>\d+)(-[0-9a-f]+)?$")


def parquet_pictures(
    files: Sequence[Path], *, name: str, labels: bool = False, memory_limit: int = MEMORY_LIMIT
) -> Pictures:
    """The images of Parquet files, in file order and row order.

    The image column is `image` or `img`: bytes, or a struct with `bytes` and perhaps `path`. The
    label column is `label`, `labels` or `fine_label`: integers, or strings that are then numbered
    in sorted order.

    Args:
        files: Parquet files of one split.
        name: the name of the source in messages.
        labels: read the labels as well.
        memory_limit: compressed bytes above this wait in an unnamed temporary file.

    Raises:
        InputError: a file is not Parquet, or a column is missing or of another type.
        RunError: the temporary file does not fit on the disk.
    """
    schema = _schema(files)
    column = _image_column(schema, name)
    known_names = _class_names(schema) if labels else ()
    numbers, class_names = _labels(files, schema, name, known_names) if labels else (None, ())
    blobs, titles = _read_blobs(files, column, memory_limit)
    return Pictures(
        count=len(titles),
        picture=_decoder(blobs),
        title=lambda index: titles[index],
        name=name,
        labels=numbers,
        class_names=class_names,
    )


def split_files(files: Sequence[Path], split: str | None, *, name: str) -> list[Path]:
    """The files of one split, sorted: `train-00000-of-00002.parquet` or `train/0000.parquet`.

    Args:
        files: all Parquet files of a folder.
        split: the name of the split; None where the folder holds only one.
        name: the name of the folder in messages.

    Raises:
        InputError: the split is not there, none was named among several, or a shard is missing.
    """
    splits: dict[str, list[Path]] = {}
    for file in sorted(files):
        splits.setdefault(_split_of(file), []).append(file)
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        wrong = "holds several splits" if split is None else f"has no split '{split}'"
        raise InputError(
            f"'{name}' {wrong}; write one of "
            + ", ".join(f"'{name}:{known}'" for known in sorted(splits))
        )
    _check_shards(splits[split], f"{name}:{split}")
    return splits[split]


def _split_of(file: Path) -> str:
    if shard := _SHARD.match(file.stem):
        return shard["split"]
    return file.parent.name if file.stem.isdigit() else file.stem


def _check_shards(files: Sequence[Path], name: str) -> None:
    shards = [shard for file in files if (shard := _SHARD.match(file.stem))]
    if shards and len({int(shard["shard"]) for shard in shards}) != int(shards[0]["shards"]):
        raise InputError(
            f"'{name}' should have {int(shards[0]['shards'])} files and has {len(shards)}; "
            "download the missing ones"
        )


def _schema(files: Sequence[Path]) -> "pa.Schema":
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas = []
    for file in files:
        try:
            schemas.append(pq.read_schema(file))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"cannot read '{file}' as Parquet: {error}") from error
    for file, schema in zip(files, schemas, strict=True):
        if schema.names != schemas[0].names:
            raise InputError(
                f"'{file}' has the columns {schema.names} and '{files[0]}' has "
                f"{schemas[0].names}; give files of one dataset"
            )
    return schemas[0]


def _image_column(schema: "pa.Schema", name: str) -> str:
    """The path of the leaf that holds the compressed bytes."""
    import pyarrow as pa

    for column in IMAGE_COLUMNS:
        if column not in schema.names:
            continue
        kind = schema.field(column).type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return column
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return column
    raise InputError(
        f"'{name}' has no column 'image' (or 'img') with image bytes; "
        f"its columns are {', '.join(f'{field.name} ({field.type})' for field in schema)}"
    )


def _batches(files: Sequence[Path], column: str) -> Iterator[tuple[Path, list[Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_size=1024, columns=[column]):
                    yield file, batch.column(0).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"'{file}' is damaged: {error}") from error


def _read_blobs(
    files: Sequence[Path], column: str, memory_limit: int
) -> tuple[Callable[[int], bytes | None], list[str]]:
    """A reader of the compressed bytes by index, and a title for every picture."""
    store = _Memory() if _unpacked_bytes(files) <= memory_limit else _Spool()
    titles: list[str] = []
    rows: dict[Path, int] = {}
    for file, values in _batches(files, column):
        for value in values:
            row = rows[file] = rows.get(file, -1) + 1
            path = value.get("path") if isinstance(value, dict) else None
            store.append(value.get("bytes") if isinstance(value, dict) else value)
            titles.append(f"{file.name} row {row}" + (f" ({path})" if path else ""))
    return store.read, titles


def _unpacked_bytes(files: Sequence[Path]) -> int:
    import pyarrow.parquet as pq

    metadata = [pq.read_metadata(file) for file in files]
    return sum(m.row_group(i).total_byte_size for m in metadata for i in range(m.num_row_groups))


class _Memory:
    """Compressed pictures in a list."""

    def __init__(self) -> None:
        self._blobs: list[bytes | None] = []

    def append(self, blob: bytes | None) -> None:
        self._blobs.append(blob)

    def read(self, index: int) -> bytes | None:
        return self._blobs[index]


class _Spool:
    """Compressed pictures in an unnamed temporary file: Parquet cannot be read at random."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as self is used
        weakref.finalize(self, self._file.close)
        self._ends = [0]
        self._absent: set[int] = set()

    def append(self, blob: bytes | None) -> None:
        if blob is None:
            self._absent.add(len(self._ends) - 1)
        try:
            self._file.write(blob or b"")
            self._file.flush()
        except OSError as error:
            raise RunError(
                f"cannot unpack the images to '{tempfile.gettempdir()}' ({error.strerror}); "
                "free some space or point TMPDIR to a larger disk"
            ) from error
        self._ends.append(self._ends[-1] + len(blob or b""))

    def read(self, index: int) -> bytes | None:
        if index in self._absent:
            return None
        start, end = self._ends[index], self._ends[index + 1]
        return os.pread(self._file.fileno(), end - start, start)


def _decoder(blobs: Callable[[int], bytes | None]) -> Callable[[int], Image.Image]:
    def picture(index: int) -> Image.Image:
        if (blob := blobs(index)) is None:
            raise BrokenImageError("no bytes in this row (a path alone is not followed)")
        return decode(blob)

    return picture


def _labels(
    files: Sequence[Path], schema: "pa.Schema", name: str, known: tuple[str, ...]
) -> tuple[Tensor, tuple[str, ...]]:
    column = next((column for column in LABEL_COLUMNS if column in schema.names), None)
    if column is None:
        raise InputError(
            f"'{name}' has no labels: none of the columns {', '.join(schema.names)} is called "
            f"{' or '.join(LABEL_COLUMNS)}; give labelled images"
        )
    values = [value for _, batch in _batches(files, column) for value in batch]
    if all(isinstance(value, str) for value in values):
        names = tuple(sorted(set(values)))
        number = {label: index for index, label in enumerate(names)}
        return torch.tensor([number[value] for value in values]), names
    if not all(isinstance(value, int) and value >= 0 for value in values):
        raise InputError(
            f"the column '{column}' of '{name}' must hold integers from 0 up or names, and holds "
            f"something else (null, negative, another type); give labelled images"
        )
    return torch.tensor(values, dtype=torch.int64), known


def _class_names(schema: "pa.Schema") -> tuple[str, ...]:
    """The names that the `datasets` library notes in the metadata of the file."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        column = next(column for column in LABEL_COLUMNS if column in features)
        return tuple(str(label) for label in features[column]["names"])
    except (KeyError, TypeError, ValueError, StopIteration):
        return ()
