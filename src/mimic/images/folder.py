"""A folder of image files, however deep; its sub-folders are the classes when labels are asked."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from mimic.errors import InputError
from mimic.images.decode import MAX_BYTES, BrokenImageError, decode
from mimic.images.labels import labels_from_folders
from mimic.images.pictures import Pictures

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


def folder_pictures(
    folder: Path, titles: Sequence[str], *, name: str, labels: bool = False
) -> Pictures:
    """The image files of a folder, in the order given.

    Args:
        folder: where titles and classes are counted from.
        titles: paths of image files below `folder`, as `list_files` gives them.
        name: the name of the source in messages.
        labels: take the sub-folders of `folder`, in sorted order, as classes 0, 1, 2, ...

    Raises:
        InputError: there are no files, or labels are asked for and the sub-folders give none.
    """
    if not titles:
        raise InputError(
            f"'{name}' holds no images; files are images if they end in "
            + ", ".join(sorted(IMAGE_SUFFIXES))
        )
    numbers, class_names = labels_from_folders(titles, name=name) if labels else (None, ())
    return Pictures(
        count=len(titles),
        picture=lambda index: read_picture(folder / titles[index]),
        title=lambda index: titles[index],
        name=name,
        labels=numbers,
        class_names=class_names,
        files=lambda: (folder / title for title in titles),
    )


def is_image(title: str) -> bool:
    """Whether a file is called like an image."""
    return os.path.splitext(title)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - a Path per file is slow


def list_files(folder: Path) -> list[str]:
    """The path of every file below `folder`, sorted, with `/`; no hidden ones, links followed.

    Raises:
        InputError: the folder, or one below it, may not be read.
    """
    found: list[str] = []
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(parent)
        if real in visited:  # a link back to where we came from would never end
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(parent).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        found.extend(prefix + name for name in files if not name.startswith("."))
    return sorted(found)


def read_picture(file: Path) -> Image.Image:
    """One image file, decoded.

    Raises:
        BrokenImageError: it is no ordinary file, is too large, cannot be read or decoded.
    """
    try:
        about = file.stat()
        # A pipe or a device would keep its reader waiting, or never end.
        if not stat.S_ISREG(about.st_mode):
            raise BrokenImageError("not an ordinary file")
        if about.st_size > MAX_BYTES:
            raise BrokenImageError(f"{about.st_size} bytes are more than {MAX_BYTES}")
        data = file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise BrokenImageError(f"cannot be opened: {why}") from error
    return decode(data)


def _refuse(error: OSError) -> None:
    raise InputError(f"cannot read the folder '{error.filename}': {error.strerror}") from error
