"""Checkpoints of a command that is under way: kept while it can be resumed, removed when done."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mimic.cli.output import say
from mimic.errors import InputError
from mimic.files import ensure_folder, expanded, write_json
from mimic.lock import locked

_RECORD = "settings.json"


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """A folder that can be written; one that was made here and stayed empty goes again.

    Raises:
        InputError: it cannot be created or written.
    """
    existed = folder.exists()
    ensure_folder(folder)
    try:
        yield folder
    finally:
        if not existed:
            with suppress(OSError):  # not empty: it is needed
                folder.rmdir()


@contextmanager
def optional_folder(folder: str | None) -> Iterator[Path | None]:
    """As `output_folder`, of a folder that a user may have named, `~` included; None for none.

    Raises:
        InputError: it cannot be created or written.
    """
    if folder is None:
        yield None
        return
    with output_folder(expanded(folder)) as made:
        yield made


@contextmanager
def run_folder(folder: Path, settings: Mapping[str, Any], *, resume: bool) -> Iterator[Path]:
    """A folder for the checkpoints of one run.

    It is removed when the block ends well, and also when it fails without a checkpoint. Where it is
    a link, the folder that it leads to is emptied instead. Nobody else can have it meanwhile.

    Args:
        folder: where; created.
        settings: plain values that must be the same when the run is resumed; `command` is one.
        resume: keep what is there.

    Raises:
        InputError: the folder cannot be written, holds something else or is in use by another run,
            or the run in it had other settings.
    """
    with locked(folder.with_name(f"{folder.name}.lock"), f"mimic {settings['command']}"):
        _check(folder, settings, resume=resume)
        if not resume:
            _empty(folder)
        ensure_folder(folder)
        write_json(folder / _RECORD, settings)
        try:
            yield folder
        except BaseException:
            if not any(folder.glob("*.ckpt")):
                _empty(folder)
            raise
        _empty(folder)


def is_run_of(folder: Path, command: str) -> bool:
    """Whether checkpoints of a command are in a folder."""
    return (_recorded(folder / _RECORD) or {}).get("command") == command


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What differs between stored settings and those of now, for a message; empty if nothing."""
    now = json.loads(json.dumps(wanted))
    return ", ".join(
        f"{key.replace('_', ' ')} {found.get(key)!r} instead of {now.get(key)!r}"
        for key in (*now, *(key for key in found if key not in now))
        if found.get(key) != now.get(key)
    )


def _empty(folder: Path) -> None:
    """Remove a folder with all that is in it; of one that is a link, what is in it."""
    if folder.is_symlink():
        for path in folder.iterdir():
            _empty(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _check(folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is where checkpoints go, but it is a file; move it away")
    if not folder.exists() or not any(folder.iterdir()):
        return
    found = _recorded(folder / _RECORD)
    if found is None or found.get("command") != settings["command"]:
        raise InputError(
            f"'{folder}' is where checkpoints go, but it holds something else; move it away"
        )
    if not resume:
        if any(folder.glob("*.ckpt")):
            say("note", f"the unfinished run in '{folder}' is dropped; --resume would continue it")
    elif other := differing(found, settings):
        raise InputError(
            f"the unfinished run in '{folder}' had {other}; "
            "resume it with the same settings, or leave --resume out to start anew"
        )


def _recorded(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
