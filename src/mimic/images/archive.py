"""One zip or tar archive as named pieces of bytes, read at random; nothing is ever unpacked."""

import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mimic.errors import InputError
from mimic.images.decode import MAX_BYTES, BrokenImageError
from mimic.images.tar import tar_members

ARCHIVE_SUFFIXES = frozenset({".tar", ".zip"})

# The others unpack into memory without a bound.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 1


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The ordinary files in an archive.

    Attributes:
        path: the archive.
        names: path of each file, with `/`; hidden files and paths that lead out are left out.
        read: the bytes of the file at a position of `names`, at most `MAX_BYTES` of them, or
            BrokenImageError; called from several threads.
    """

    path: Path
    names: Sequence[str]
    read: Callable[[int], bytes]


def open_archive(path: Path) -> Archive:
    """A `.zip` or an uncompressed `.tar` file; links, folders and devices in it are left out.

    Raises:
        InputError: it cannot be read, is damaged or cut off.
    """
    return _open_zip(path) if path.suffix.lower() == ".zip" else _open_tar(path)


def _open_tar(path: Path) -> Archive:
    names: list[str] = []
    places: list[tuple[int, int]] = []
    for member in tar_members(path):
        if name := _inside(member.name):
            names.append(name)
            places.append((member.offset, member.size))
    spans = np.array(places, dtype=np.int64).reshape(-1, 2)

    def read(position: int) -> bytes:
        offset, size = spans[position].tolist()
        _refuse_large(size)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise BrokenImageError(f"cannot be read: {error.strerror or error}") from error
        if len(data) < size:
            raise BrokenImageError("the archive was cut off")
        return data

    return Archive(path=path, names=names, read=read)


def _open_zip(path: Path) -> Archive:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(
            f"'{path}' is no zip archive, or damaged ({error}); get it again"
        ) from error
    members = [
        (name, info)
        for info in archive.infolist()
        if _is_file(info) and (name := _inside(info.filename))
    ]
    return Archive(
        path=path,
        names=[name for name, _ in members],
        read=lambda position: _unzip(archive, members[position][1]),
    )


def _unzip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.flag_bits & _ENCRYPTED:
        raise BrokenImageError("encrypted")
    if info.compress_type not in _METHODS:
        raise BrokenImageError("compressed by a method other than deflate")
    _refuse_large(info.file_size)
    try:
        with archive.open(info) as file:
            # With a number: without one, all that a lying header hides would be unpacked first.
            data = file.read(info.file_size + 1)
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BrokenImageError(f"cannot be read: {error}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise BrokenImageError(f"damaged: {error}") from error
    if len(data) < info.file_size:
        raise BrokenImageError("the archive was cut off")
    return data


def _is_file(info: zipfile.ZipInfo) -> bool:
    # Zero where the archive comes from a system that notes no kind of file.
    kind = stat.S_IFMT(info.external_attr >> 16)
    return not info.is_dir() and kind in (0, stat.S_IFREG)


def _inside(name: str) -> str | None:
    """The path without empty parts; None if a part begins with a dot, as in `..` and `._x.jpg`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or any(part.startswith(".") for part in parts):
        return None
    return "/".join(parts)


def _refuse_large(size: int) -> None:
    if size > MAX_BYTES:
        raise BrokenImageError(f"{size} bytes are more than {MAX_BYTES}")
