"""What a folder with a finished purification says, which is never overwritten by another one."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from mimic.cli.output import say
from mimic.cli.runs import differing, is_run_of
from mimic.errors import InputError
from mimic.files import expanded, sha256

if TYPE_CHECKING:
    from mimic.defenses import Defense

_MANIFEST = "manifest.json"
_ENCODER = "encoder.safetensors"
_PAGES = {"report": "report.html", "facts": "report.json", "card": "README.md"}


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
    files = _files(folder, manifest)
    if files is None:
        return None
    say("note", f"'{folder}' is finished; nothing was done")
    return {**files, "manifest": str(path), **_pages(folder), **manifest["report"]}


def check_unclaimed(folder: Path, checkpoints: Path, original: Path | None) -> None:
    """Check that nothing of somebody else would be overwritten.

    Args:
        folder: where results go; without a manifest it holds none yet.
        checkpoints: where those of an unfinished purification are.
        original: the file that came in, whose name the drop-in has.

    Raises:
        InputError: a file with the name of a result is there.
    """
    if (folder / _MANIFEST).exists() or is_run_of(checkpoints, "purify"):
        return
    names = [*_PAGES.values(), _ENCODER, *([] if original is None else [original.name])]
    for name in names:
        if (folder / name).exists():
            raise InputError(
                f"'{folder}' holds '{name}', which is not of a purification and would be "
                "overwritten; choose another folder"
            )


def recorded_defense(source: str) -> "Defense":
    """The defence that gave a purified encoder, with its settings, as the manifest has them.

    Args:
        source: the folder that `mimic purify` wrote, or a file in it.

    Raises:
        InputError: there is no manifest beside it, or it names settings that mimic does not know.
    """
    from mimic.benchmark.schema import check_names, parse
    from mimic.purification import find_defense

    place = expanded(source)
    path = (place if place.is_dir() else place.parent) / _MANIFEST
    if not path.is_file():
        raise InputError(
            f"there is no {_MANIFEST} beside '{source}' that says how it was purified; a canary "
            "needs a folder that 'mimic purify' wrote"
        )
    manifest = _read(path)
    defense = find_defense(parse(str, manifest["settings"].get("method"), "its method"))
    said = parse(Mapping[str, Any], manifest["report"]["attempts"][-1]["settings"], "its settings")
    known = [field.name for field in fields(defense) if field.init]
    hints = get_type_hints(type(defense))
    check_names(said, known, "setting", f"'{path}'")
    return replace(defense, **{name: parse(hints[name], said[name], name) for name in said})


def _pages(folder: Path) -> dict[str, str | None]:
    """What people read, by its key in the JSON; None for what is no longer there."""
    return {
        key: str(folder / name) if (folder / name).is_file() else None
        for key, name in _PAGES.items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        last = manifest["report"]["attempts"][-1]["settings"]
        if manifest["settings"]["command"] == "purify" and isinstance(last, dict):
            return manifest
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    raise InputError(
        f"'{path.parent}' holds a {_MANIFEST} that is not of 'mimic purify'; choose another folder"
    )


def _files(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the files are and their digests; None where one is missing or was changed."""
    try:
        encoder, drop_in = (manifest["output"][name] for name in ("encoder", "drop_in"))
        entries = [encoder] if drop_in is None else [encoder, drop_in]
        intact = all(sha256(folder / entry["file"]) == entry["sha256"] for entry in entries)
    except (OSError, LookupError, TypeError):
        return None
    if not intact:
        return None
    return {
        "encoder": str(folder / encoder["file"]),
        "sha256": encoder["sha256"],
        "drop_in": drop_in and str(folder / drop_in["file"]),
        "drop_in_sha256": drop_in and drop_in["sha256"],
        "others": manifest.get("other_encoders_unchanged", []),
    }
