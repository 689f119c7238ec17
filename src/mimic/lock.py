"""One run at a time in a place: a lock that says who holds it and that death releases."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mimic.errors import InputError
from mimic.files import ensure_folder

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(path: Path, program: str) -> Iterator[None]:
    """Hold a lock for the block.

    On one machine the kernel keeps the lock, so that one of a dead process is taken over. On a disk
    that machines share it may not reach the others: there the name in the file counts. Windows has
    no such locks, and nobody is kept out.

    Args:
        path: of the file that is the lock, in the folder that is held.
        program: what holds it, for messages: "mimic bench".

    Raises:
        InputError: another process holds it, or the folder cannot be written.
    """
    ensure_folder(path.parent)
    descriptor = _opened(path, program)
    try:
        _refuse_other_machines(path, program, _holder(path))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_me()).encode(), 0)
        os.fsync(descriptor)
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
    finally:
        os.close(descriptor)


def _opened(path: Path, program: str) -> int:
    """The file of the lock, held."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if sys.platform == "win32":
            return descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever held it may have removed the file between the two lines above
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"'{path.parent}' is in use by another '{program}' ({_told(_holder(path))}); "
                "wait for it, or choose another folder"
            ) from None
        os.close(descriptor)


def _refuse_other_machines(path: Path, program: str, holder: dict[str, Any]) -> None:
    if holder.get("host", socket.gethostname()) != socket.gethostname():
        raise InputError(
            f"'{path.parent}' is in use by a '{program}' on another machine ({_told(holder)}); "
            f"if that is over, remove '{path}'"
        )


def _holder(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _me() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def _told(holder: dict[str, Any]) -> str:
    return (
        f"process {holder.get('pid', 'unknown')} on {holder.get('host', 'unknown')} "
        f"since {holder.get('since', 'unknown')}"
    )
