"""Some images of a data set that is far away: whole row groups of Parquet files, drawn at random.

A row group is the smallest piece of such a file that can be read by itself. They are drawn from as
many files as there are, so that the images stand for all of them also where the files are sorted.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from mimic.errors import InputError
from mimic.images.parquet import blobs_for, decoder, image_column, label_column, numbered
from mimic.images.pictures import Pictures

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_SEED = 0


def streamed_pictures(
    files: Sequence[Path],
    open_file: Callable[[Path], BinaryIO],
    count: int,
    *,
    name: str,
    labels: bool = False,
    memory_limit: int,
) -> Pictures:
    """So many images of remote Parquet files; nothing else of them is read, but for their ends.

    Args:
        files: of one split, in the layout of `parquet_pictures`.
        open_file: opens one of them for reading at any place.
        count: images in all; there are fewer where the files hold fewer. The same ones every time.
        name: of the source in messages.
        labels: read the labels as well.
        memory_limit: compressed bytes above this wait in an unnamed temporary file.

    Raises:
        InputError: a file is not Parquet, or a column is missing or of another type.
        RunError: the temporary file does not fit on the disk.
    """
    opened = _Opened(files, open_file)
    groups = _draw(opened, count)
    schema = opened[groups[0][0]].schema_arrow
    column = image_column(schema, name)
    label = label_column(schema, name) if labels else None
    columns = [column] if label is None else [column, label]
    sizes = [opened[file].metadata.row_group(group).total_byte_size for file, group in groups]
    store = blobs_for(sum(sizes), memory_limit)
    titles: list[str] = []
    values: list[Any] = []
    for file, group in groups:
        table = opened[file].read_row_group(group, columns=columns).slice(0, count - len(titles))
        title = f"{files[file].name} group {group} row"
        rows = table.column(column).to_pylist()
        titles += [store.take(value, f"{title} {row}") for row, value in enumerate(rows)]
        values += [] if label is None else table.column(label).to_pylist()
    numbers, class_names = numbered(values, schema, name) if labels else (None, ())
    return Pictures(
        count=len(titles),
        picture=decoder(store.read),
        title=lambda index: titles[index],
        name=name,
        labels=numbers,
        class_names=class_names,
    )


class _Opened:
    """Parquet files by their place in a list, each opened when it is first asked for."""

    def __init__(self, files: Sequence[Path], open_file: Callable[[Path], BinaryIO]) -> None:
        self._files, self._open_file = files, open_file
        self._opened: dict[int, pq.ParquetFile] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> "pq.ParquetFile":
        import pyarrow as pa
        import pyarrow.parquet as pq

        if place not in self._opened:
            try:
                self._opened[place] = pq.ParquetFile(self._open_file(self._files[place]))
            except pa.ArrowException as error:
                raise InputError(
                    f"cannot read '{self._files[place]}' as Parquet: {error}"
                ) from error
        return self._opened[place]


def _draw(opened: _Opened, count: int) -> list[tuple[int, int]]:
    """Row groups that hold so many images together: one of each file in turn, again and again."""
    generator = torch.Generator().manual_seed(_SEED)
    files = torch.randperm(len(opened), generator=generator).tolist()
    left: dict[int, list[int]] = {}
    drawn: list[tuple[int, int]] = []
    rows = 0
    while files and rows < count:
        for file in list(files):
            metadata = opened[file].metadata
            if file not in left:
                left[file] = torch.randperm(metadata.num_row_groups, generator=generator).tolist()
            if not left[file]:
                files.remove(file)
                continue
            group = left[file].pop()
            drawn.append((file, group))
            rows += metadata.row_group(group).num_rows
            if rows >= count:
                break
    if rows == 0:
        raise InputError("the Parquet files hold no rows; name another split")
    return drawn
