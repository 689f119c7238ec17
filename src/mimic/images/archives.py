"""Images in one or many archives: WebDataset shards, or a folder of images that was packed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mimic.errors import InputError
from mimic.images.archive import Archive, open_archive
from mimic.images.decode import BrokenImageError, decode
from mimic.images.folder import is_image
from mimic.images.labels import Labels, labels_from_folders, labels_from_text
from mimic.images.pictures import Pictures
from mimic.text import printable

_CLASS = ".cls"
_LONGEST_CLASS = 256


def archive_pictures(
    files: Sequence[Path], *, name: str, folder: str | None = None, labels: bool = False
) -> Pictures:
    """The images in archives, in the order of `files` and of the members of each.

    Labels are those of WebDataset where there are any: `KEY.cls` beside `KEY.jpg`, a whole number
    or a word. Otherwise the first folder of a path is the class.

    Args:
        files: `.zip` files and uncompressed `.tar` files.
        name: the name of the source in messages.
        folder: take only what is in this folder of the archives, and classes from there on.
        labels: read the labels as well.

    Raises:
        InputError: an archive is unreadable, damaged or cut off; there are no images, or none in
            that folder; labels are asked for and not there.
    """
    archives = [open_archive(file) for file in files]
    below = "" if folder is None else folder.strip("/") + "/"
    places = _places(archives, below)
    if not len(places):
        raise InputError(f"'{name}' holds no images" + (f" in '{below}'" if below else ""))

    def title(index: int) -> str:
        archive, position = places[index].tolist()
        inside = archives[archive].names[position]
        return f"{files[archive].name}/{inside}" if len(files) > 1 else inside

    def read(index: int) -> bytes:
        archive, position = places[index].tolist()
        return archives[archive].read(position)

    numbers, class_names = _labels(archives, places, below, name) if labels else (None, ())
    return Pictures(
        count=len(places),
        picture=lambda index: decode(read(index)),
        title=title,
        name=name,
        labels=numbers,
        class_names=class_names,
        files=lambda: files,
    )


def _places(archives: Sequence[Archive], below: str) -> NDArray[np.int32]:
    """Number of the archive and position in it of every image, shape (n, 2)."""
    places = (
        (number, position)
        for number, archive in enumerate(archives)
        for position, inside in enumerate(archive.names)
        if inside.startswith(below) and is_image(inside)
    )
    return np.array(list(places), dtype=np.int32).reshape(-1, 2)


def _labels(
    archives: Sequence[Archive], places: NDArray[np.int32], below: str, name: str
) -> Labels:
    if any(inside.endswith(_CLASS) for archive in archives for inside in archive.names):
        return labels_from_text(list(_class_texts(archives, places)), name=name)
    titles = [archives[archive].names[position] for archive, position in places.tolist()]
    labels, class_names = labels_from_folders(
        [title.removeprefix(below) for title in titles], name=name
    )
    deeper = all(title.count("/") > below.count("/") + 1 for title in titles)
    if len(archives) == 1 and len(class_names) == 1 and deeper:
        folder = printable(class_names[0])
        raise InputError(
            f"all images of '{name}' lie in its folder '{folder}'; "
            f"write '{name}{'/' if below else ':'}{folder}' if the classes are in there"
        )
    return labels, class_names


def _class_texts(archives: Sequence[Archive], places: NDArray[np.int32]) -> Iterator[str]:
    """What is written in the `.cls` file of each image."""
    of_archive = -1
    for archive, position in places.tolist():
        if archive != of_archive:
            of_archive, known = archive, _classes(archives[archive])
        inside = archives[archive].names[position]
        if (text := known.get(_key(inside))) is None:
            raise InputError(
                f"'{printable(inside)}' in '{archives[archive].path}' has no label: "
                f"there is no '{printable(_key(inside))}{_CLASS}' beside it"
            )
        yield text


def _classes(archive: Archive) -> dict[str, str]:
    known: dict[str, str] = {}
    for position, inside in enumerate(archive.names):
        if not inside.endswith(_CLASS):
            continue
        shown = f"'{printable(inside)}' in '{archive.path}'"
        try:
            text = archive.read(position)[: _LONGEST_CLASS + 1].decode("utf-8").strip()
        except (BrokenImageError, UnicodeDecodeError) as error:
            raise InputError(f"{shown} is no label: {error}") from error
        if len(text) > _LONGEST_CLASS:
            raise InputError(f"{shown} is too long for a label")
        if known.setdefault(_key(inside), text) != text:
            raise InputError(f"{shown} is a second label of its image; keep one")
    return known


def _key(inside: str) -> str:
    """The name of a sample in WebDataset: the path up to the first dot of the file's name."""
    folder, slash, file = inside.rpartition("/")
    return folder + slash + file.partition(".")[0]
