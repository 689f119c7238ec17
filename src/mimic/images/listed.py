"""A list of image files: one path per line, or a table of paths and labels."""

import csv
import io
from pathlib import Path

from mimic.errors import InputError
from mimic.images.folder import read_picture
from mimic.images.labels import Labels, labels_from_text
from mimic.images.pictures import Pictures

LIST_SUFFIXES = frozenset({".csv", ".txt"})

_Rows = list[tuple[str, str | None]]


def listed_pictures(path: Path, *, name: str, labels: bool = False) -> Pictures:
    """The image files that a list names, in its order.

    Args:
        path: UTF-8. A `.txt` file with one path per line; or a `.csv` file whose first line names
            its columns, `path` and perhaps `label` among them. Paths are relative to the folder of
            the list. Blank lines are passed over.
        name: the name of the source in messages.
        labels: read the column `label`: whole numbers from 0 up, or words.

    Raises:
        InputError: the list cannot be read or names no file, or labels are asked for and not there.
    """
    text = _text(path)
    rows = _csv_rows(text, path, name) if path.suffix.lower() == ".csv" else _lines(text)
    if not rows:
        raise InputError(f"'{name}' names no images; write one path per line")
    numbers, class_names = _labels(rows, name) if labels else (None, ())
    titles = [title for title, _ in rows]
    return Pictures(
        count=len(titles),
        picture=lambda index: read_picture(path.parent / titles[index]),
        title=lambda index: titles[index],
        name=name,
        labels=numbers,
        class_names=class_names,
        files=lambda: (path.parent / title for title in titles),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8 text: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error


def _lines(text: str) -> _Rows:
    return [(line.strip(), None) for line in text.split("\n") if line.strip()]


def _csv_rows(text: str, path: Path, name: str) -> _Rows:
    table = csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True)
    try:
        columns = [column.strip() for column in table.fieldnames or ()]
        if "path" not in columns:
            raise InputError(
                f"the first line of '{path}' must name the columns, 'path' among them (and 'label' "
                f"for labels); it says {', '.join(columns) or 'nothing'}"
            )
        table.fieldnames = columns
        return [_row(row, name, table.line_num) for row in table]
    except csv.Error as error:
        raise InputError(f"line {table.line_num} of '{path}' is not CSV: {error}") from error


def _row(row: dict[str, str | None], name: str, line: int) -> tuple[str, str | None]:
    if not (title := (row["path"] or "").strip()):
        raise InputError(f"line {line} of '{name}' names no file")
    label = row.get("label")
    return title, None if label is None else label.strip()


def _labels(rows: _Rows, name: str) -> Labels:
    texts = [label for _, label in rows if label is not None]
    if len(texts) < len(rows):
        raise InputError(
            f"'{name}' has no labels; write a .csv file whose first line is 'path,label' and that "
            "labels every image"
        )
    return labels_from_text(texts, name=name)
