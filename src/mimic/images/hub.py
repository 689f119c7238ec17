"""Data sets on the Hugging Face hub: their Parquet files are downloaded once and read from disk."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

from mimic.errors import InputError, RunError
from mimic.libraries import import_library

_PREFIX = "hf:"


def is_hub_name(text: str) -> bool:
    """Whether a source is spelled like a data set on the hub."""
    return text.startswith(_PREFIX)


def download_dataset(text: str) -> tuple[Path, str | None]:
    """Fetch a data set; no code of it runs.

    Args:
        text: `hf:REPO` or `hf:REPO:SPLIT`; of a split only the files that are named after it.

    Returns:
        The folder with its Parquet files, in the cache of `huggingface_hub`, and the split.

    Raises:
        InputError: there is no such data set or it has no Parquet files, or the library is missing.
        RunError: the download failed.
    """
    repository, _, split = text.removeprefix(_PREFIX).partition(":")
    if not repository:
        raise InputError(f"'{text}' names no data set; write hf:OWNER/NAME or hf:OWNER/NAME:SPLIT")
    library = import_library("huggingface_hub")
    patterns = [f"*{split}-*.parquet", f"*{split}/*.parquet", f"*{split}.parquet"]
    try:
        with redirect_stdout(sys.stderr):  # standard output belongs to --json
            folder = library.snapshot_download(
                repository,
                repo_type="dataset",
                allow_patterns=patterns if split else ["*.parquet"],
            )
    # What is not there is also a ValueError to the library, so this order matters.
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"cannot download '{text}': {error}; check the name and the connection, "
            "or give a folder that holds the Parquet files"
        ) from error
    except ValueError as error:
        raise InputError(f"'{repository}' is no name of a data set: {error}") from error
    return Path(folder), split or None
