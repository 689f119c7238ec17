"""Images in Parquet files in the Hugging Face layout: `image.bytes`, `label`, a split per file."""

import json
import os
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from mimic.errors import InputError, RunError
from mimic.images.decode import BrokenImageError, decode
from mimic.images.labels import LABELS_END, Labels, number_words
from mimic.images.pictures import Pictures

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")


def parquet_pictures(
    files: Sequence[Path], *, name: str, labels: bool = False, memory_limit: int
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
    column = image_column(schema, name)
    numbers, class_names = _labels(files, schema, name) if labels else (None, ())
    blobs, titles = _read_blobs(files, column, memory_limit)
    return Pictures(
        count=len(titles),
        picture=decoder(blobs.read),
        title=lambda index: titles[index],
        name=name,
        labels=numbers,
        class_names=class_names,
        files=lambda: files,
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


def image_column(schema: "pa.Schema", name: str) -> str:
    """The column that holds the compressed bytes.

    Raises:
        InputError: there is none, or two of that name.
    """
    import pyarrow as pa

    for column in IMAGE_COLUMNS:
        if column not in schema.names:
            continue
        _check_single(column, schema, name)
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


def _read_blobs(files: Sequence[Path], column: str, memory_limit: int) -> tuple["Blobs", list[str]]:
    """The compressed bytes by index, and a title for every picture."""
    store = blobs_for(_unpacked_bytes(files), memory_limit)
    titles: list[str] = []
    rows: dict[Path, int] = {}
    for file, values in _batches(files, column):
        for value in values:
            row = rows[file] = rows.get(file, -1) + 1
            titles.append(store.take(value, f"{file.name} row {row}"))
    return store, titles


def _unpacked_bytes(files: Sequence[Path]) -> int:
    import pyarrow.parquet as pq

    metadata = [pq.read_metadata(file) for file in files]
    return sum(m.row_group(i).total_byte_size for m in metadata for i in range(m.num_row_groups))


class Blobs(ABC):
    """Compressed pictures, one after the other."""

    def take(self, value: Any, title: str) -> str:
        """Keep what a row holds, and give the title, with the path that the row may name."""
        path = value.get("path") if isinstance(value, dict) else None
        self.append(value.get("bytes") if isinstance(value, dict) else value)
        return f"{title} ({path})" if path else title

    @abstractmethod
    def append(self, blob: bytes | None) -> None:
        """Keep the next picture.

        Raises:
            RunError: there is no room for it.
        """

    @abstractmethod
    def read(self, index: int) -> bytes | None:
        """The picture that was kept so many pictures after the first."""


def blobs_for(size: int, memory_limit: int) -> Blobs:
    """A place for so many bytes: in memory, or in an unnamed temporary file above the limit."""
    return _Memory() if size <= memory_limit else _Spool()


class _Memory(Blobs):
    """Compressed pictures in a list."""

    def __init__(self) -> None:
        self._blobs: list[bytes | None] = []

    def append(self, blob: bytes | None) -> None:
        self._blobs.append(blob)

    def read(self, index: int) -> bytes | None:
        return self._blobs[index]


class _Spool(Blobs):
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


def decoder(blobs: Callable[[int], bytes | None]) -> Callable[[int], Image.Image]:
    """Pictures by index, out of their compressed bytes."""

    def picture(index: int) -> Image.Image:
        if (blob := blobs(index)) is None:
            raise BrokenImageError("no bytes in this row (a path alone is not followed)")
        return decode(blob)

    return picture


def _labels(files: Sequence[Path], schema: "pa.Schema", name: str) -> Labels:
    column = label_column(schema, name)
    values = [value for _, batch in _batches(files, column) for value in batch]
    return numbered(values, schema, name)


def label_column(schema: "pa.Schema", name: str) -> str:
    """The column that holds the labels.

    Raises:
        InputError: there is none, or two of that name.
    """
    column = next((column for column in LABEL_COLUMNS if column in schema.names), None)
    if column is None:
        raise InputError(
            f"'{name}' has no labels: none of the columns {', '.join(schema.names)} is called "
            f"{' or '.join(LABEL_COLUMNS)}; give labelled images"
        )
    _check_single(column, schema, name)
    return column


def _check_single(column: str, schema: "pa.Schema", name: str) -> None:
    if schema.names.count(column) > 1:
        raise InputError(f"'{name}' has several columns '{column}'; rename all but one of them")


def numbered(values: Sequence[Any], schema: "pa.Schema", name: str) -> Labels:
    """The values of the column of labels as numbers, and the names of the classes.

    Raises:
        InputError: they are neither names nor integers from 0 up, or a class has no name while
            others have.
    """
    if all(isinstance(value, str) for value in values):
        return number_words(values)
    if not all(isinstance(value, int) and 0 <= value < LABELS_END for value in values):
        raise InputError(
            f"the column '{label_column(schema, name)}' of '{name}' must hold integers from 0 up, "
            f"below {LABELS_END}, or names, and holds something else (null, negative, another "
            "type); give labelled images"
        )
    names = _class_names(schema)
    if names and max(values) >= len(names):
        raise InputError(
            f"'{name}' names {len(names)} classes and has the label {max(values)}; name all "
            "classes in its metadata, or none"
        )
    return torch.tensor(values, dtype=torch.int64), names


def _class_names(schema: "pa.Schema") -> tuple[str, ...]:
    """The names that the `datasets` library notes in the metadata of the file."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        column = next(column for column in LABEL_COLUMNS if column in features)
        return tuple(str(label) for label in features[column]["names"])
    except (KeyError, TypeError, ValueError, StopIteration, RecursionError):
        return ()
