"""Files that are whole or absent: write aside, flush to disk, rename."""

import errno
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mimic.errors import InputError, RunError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` in one step.

    Args:
        path: the file to create or replace. Its folder is created.

    Raises:
        InputError: the folder cannot be created or written.
        RunError: the disk is full; nothing is left behind and an older `path` is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")  # never too long, unlike `path`
    try:
        ensure_folder(path.parent)
        temporary.touch(exist_ok=False)
        allowed_by_umask = temporary.stat().st_mode
        yield temporary
        temporary.chmod(allowed_by_umask)  # some writers replace the file by a private one
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _explain(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def expanded(path: str | Path) -> Path:
    """A path in which `~` stands for a home.

    Raises:
        InputError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"'{path}' begins with a user that is not known here") from error


def ensure_folder(folder: str | Path) -> Path:
    """Create `folder` (and its parents) and check that files can be made in it.

    Raises:
        InputError: the folder cannot be created or written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _explain(error, folder) from error
    return folder


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically.

    Bytes in the name of a file that are no text are written as an escape, and JSON reads them back.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as lower-case hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def tells_full_disk(error: BaseException) -> bool:
    """Whether an error that was raised here comes from a full disk."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL


def _explain(error: OSError, path: Path) -> InputError | RunError:
    if error.errno in _FULL:
        return RunError(
            f"the disk is full: '{path}' was not written and nothing was left half-written; "
            "free some space (or choose another place) and run the same command again, with "
            "--resume where it has that"
        )
    return InputError(f"cannot write '{path}': {error.strerror or error}; choose another place")
