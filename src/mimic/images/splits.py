"""Which files of a folder belong to one split: `train-00000-of-00002.parquet`, `val-0007.tar`."""

import re
from collections.abc import Sequence
from pathlib import Path

from mimic.errors import InputError

_SHARD = re.compile(r"^(?P<split>.+?)-(?P<shard>\d+)(-of-(?P<shards>\d+)(-[0-9a-f]+)?)?$", re.ASCII)


def split_files(files: Sequence[Path], split: str | None, *, name: str) -> list[Path]:
    """The files of one split, sorted: `train-0001.tar`, `train-00000-of-00002.parquet`,
    `train/0000.parquet`.

    Args:
        files: all files of a kind in a folder.
        split: the name of the split; None where the folder holds only one.
        name: the name of the folder in messages.

    Raises:
        InputError: the split is not there, none was named among several, or a shard is missing.
    """
    splits: dict[str, list[Path]] = {}
    for file in sorted(files):
        splits.setdefault(_split_of(file), []).append(file)
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        wrong = "holds several splits" if split is None else f"has no split '{split}'"
        raise InputError(
            f"'{name}' {wrong}; write one of "
            + ", ".join(f"'{name}:{known}'" for known in sorted(splits))
        )
    _check_shards(splits[split], f"{name}:{split}")
    return splits[split]


def _split_of(file: Path) -> str:
    if shard := _SHARD.match(file.stem):
        return shard["split"]
    return file.parent.name if file.stem.isdigit() else file.stem


def _check_shards(files: Sequence[Path], name: str) -> None:
    """Each file is there once, and all of them where their names say how many there should be."""
    if len({file.name for file in files}) < len(files):
        folders = ", ".join(sorted({f"'{file.parent}'" for file in files}))
        raise InputError(f"'{name}' is there several times; give one of the folders {folders}")
    shards = [shard for file in files if (shard := _SHARD.match(file.stem)) and shard["shards"]]
    if shards and len({int(shard["shard"]) for shard in shards}) != int(shards[0]["shards"]):
        raise InputError(
            f"'{name}' should have {int(shards[0]['shards'])} files and has {len(shards)}; "
            "download the missing ones"
        )
