"""A folder of image files, however deep; its sub-folders are the classes when labels are asked."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from mimic.errors import InputError
from mimic.images.assemble import Pictures
from mimic.images.decode import BrokenImageError, decode

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
_SPLIT_NAMES = frozenset({"train", "test", "val", "valid", "validation"})


def folder_pictures(
    folder: Path, files: Sequence[Path], *, name: str, labels: bool = False
) -> Pictures:
    """The image files of a folder, in the order given.

    Args:
        folder: where titles and classes are counted from.
        files: image files anywhere below `folder`.
        name: the name of the source in messages.
        labels: take the sub-folders of `folder`, in sorted order, as classes 0, 1, 2, ...

    Raises:
        InputError: there are no files, or labels are asked for and the sub-folders give none.
    """
    if not files:
        raise InputError(
            f"'{name}' holds no images; files are images if they end in "
            + ", ".join(sorted(IMAGE_SUFFIXES))
        )
    titles = [file.relative_to(folder).as_posix() for file in files]
    class_names = _class_names(titles, name) if labels else ()
    number = {class_name: index for index, class_name in enumerate(class_names)}
    return Pictures(
        count=len(files),
        picture=lambda index: _read(files[index]),
        title=lambda index: titles[index],
        name=name,
        labels=torch.tensor([number[_top(title)] for title in titles]) if labels else None,
        class_names=class_names,
    )


def list_files(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted by its path; hidden ones are left out, links followed.

    Raises:
        InputError: the folder, or one below it, may not be read.
    """
    found: list[tuple[str, Path]] = []
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(parent)
        if real in visited:  # a link back to where we came from would never end
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(parent, name) for name in files if not name.startswith("."))
        found.extend((path.relative_to(folder).as_posix(), path) for path in paths)
    return [path for _, path in sorted(found)]


def _refuse(error: OSError) -> None:
    raise InputError(f"cannot read the folder '{error.filename}': {error.strerror}") from error


def _read(file: Path) -> Image.Image:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BrokenImageError(f"cannot be opened: {error.strerror}") from error
    return decode(data)


def _class_names(titles: Sequence[str], name: str) -> tuple[str, ...]:
    outside = next((title for title in titles if "/" not in title), None)
    if outside is not None:
        raise InputError(
            f"labels are needed, and '{outside}' in '{name}' lies in no sub-folder; "
            "put the images of each class into a sub-folder of its own"
        )
    names = tuple(sorted({_top(title) for title in titles}))
    if _SPLIT_NAMES.issuperset(names):
        raise InputError(
            f"the sub-folders of '{name}' are splits ({', '.join(names)}) and not classes; "
            f"write '{name}:{names[0]}'"
        )
    return names


def _top(title: str) -> str:
    return title.partition("/")[0]
