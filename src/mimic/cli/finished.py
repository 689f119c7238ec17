"""A folder that holds a finished purification is never overwritten by another one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimic.cli.output import say
from mimic.cli.runs import differing
from mimic.errors import InputError
from mimic.files import sha256

_MANIFEST = "manifest.json"


def finished_report(
    folder: Path, settings: Mapping[str, Any], *, resume: bool
) -> dict[str, Any] | None:
    """The report of the purification that `folder` holds, if it need not be done again.

    Args:
        folder: where results go.
        settings: of the purification that is wanted.
        resume: take what is there; otherwise the same purification is done again.

    Returns:
        What `mimic purify --json` prints, or None where there is work to do.

    Raises:
        InputError: the folder holds the result of something else.
    """
    path = folder / _MANIFEST
    if not path.exists():
        return None
    manifest = _read(path)
    if other := differing(manifest["settings"], settings):
        raise InputError(
            f"'{folder}' holds a finished purification with {other}; "
            "choose another folder, or delete this one"
        )
    if not resume:
        return None
    files = _files(folder, manifest["output"])
    if files is None:
        return None
    say("note", f"'{folder}' is finished; nothing was done")
    return {**files, "manifest": str(path), **manifest["report"]}


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["settings"]["command"] == "purify" and manifest["report"]:
            return manifest
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(
        f"'{path.parent}' holds a {_MANIFEST} that is not of 'mimic purify'; choose another folder"
    )


def _files(folder: Path, output: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the files are and their digests; None where one is missing or was changed."""
    encoder, drop_in = output["encoder"], output["drop_in"]
    for entry in filter(None, (encoder, drop_in)):
        file = folder / entry["file"]
        if not file.is_file() or sha256(file) != entry["sha256"]:
            return None
    return {
        "encoder": str(folder / encoder["file"]),
        "sha256": encoder["sha256"],
        "drop_in": drop_in and str(folder / drop_in["file"]),
        "drop_in_sha256": drop_in and drop_in["sha256"],
    }
