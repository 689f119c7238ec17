"""The files inside a plain tar archive, found by their headers; no header is trusted.

Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and GNU. Python's `tarfile` would do, but it takes
a damaged header for the end of the archive, and reads extended headers of any size into memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mimic.errors import InputError
from mimic.text import printable

_BLOCK = 512
_LONGEST_HEADER = 1 << 20
_FILES = frozenset({b"0", b"\0", b"7"})
_LONG_NAME, _EXTENDED = b"L", b"x"
_WITHOUT_CONTENT = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
"""Links, devices, folders and pipes: whatever size they state, no content follows."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """An ordinary file in an archive; links, devices and sparse files are no members.

    Attributes:
        name: its path, as it is written.
        offset: of its content in the archive, in bytes.
        size: of its content, in bytes; all of them are in the archive.
    """

    name: str
    offset: int
    size: int


def tar_members(path: Path) -> Iterator[TarMember]:
    """The files of an uncompressed tar archive, in their order.

    Raises:
        InputError: the archive cannot be read, is damaged or ends too early.
    """
    last = "its beginning"
    try:
        with path.open("rb") as file:
            for member in _members(file, path.stat().st_size):
                last = f"'{printable(member.name)}'"
                yield member
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(
            f"'{path}' is no tar archive, or damaged after {last} ({error}); get it again"
        ) from error


def _members(file: BinaryIO, end: int) -> Iterator[TarMember]:
    position, long_name, extended = 0, "", dict[str, str]()
    while any(header := file.read(_BLOCK)):
        kind, size = _checked(header), _number(header[124:136])
        is_metadata = kind in (_LONG_NAME, _EXTENDED)
        if kind in _WITHOUT_CONTENT:
            size = 0
        elif not is_metadata:
            size = int(extended.get("size", size))
        position += _BLOCK
        if not 0 <= size <= end - position:
            raise ValueError("it ends too early")
        if kind == _LONG_NAME:
            long_name = _text(_metadata(file, size))
        elif kind == _EXTENDED:
            extended = _records(_metadata(file, size))
        elif kind in _FILES:
            name = extended.get("path") or long_name or _short_name(header)
            yield TarMember(name=name, offset=position, size=size)
        if not is_metadata:
            long_name, extended = "", {}
        position += -(-size // _BLOCK) * _BLOCK
        file.seek(position)


def _checked(header: bytes) -> bytes:
    """The kind of member, if the header is whole and adds up."""
    if len(header) < _BLOCK:
        raise ValueError("it ends too early")
    blanked = header[:148] + b" " * 8 + header[156:]
    if sum(blanked) != _number(header[148:156]):
        raise ValueError("a header does not add up")
    return header[156:157]


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary number marked by its first bit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(0x30 <= digit <= 0x37 for digit in digits):
        raise ValueError("a header holds something that is no number")
    return int(digits or b"0", 8)


def _short_name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if header[257:263] == b"ustar\0" and prefix else name


def _metadata(file: BinaryIO, size: int) -> bytes:
    if size > _LONGEST_HEADER:
        raise ValueError(f"a header of {size} bytes")
    return file.read(size)


def _records(content: bytes) -> dict[str, str]:
    """Pax records, `LENGTH KEY=VALUE` and a line break; LENGTH counts all of it."""
    records = {}
    while content:
        length, _, rest = content.partition(b" ")
        end = int(length)
        if not len(length) < end <= len(content):
            raise ValueError("an extended header does not add up")
        key, _, value = rest[: end - len(length) - 1].partition(b"=")
        records[_text(key)] = _text(value.removesuffix(b"\n"))
        content = content[end:]
    return records


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
