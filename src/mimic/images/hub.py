"""Data sets on the Hugging Face hub: their Parquet files are downloaded once and read from disk, or
some of their images are read where they are.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from mimic.errors import InputError, MimicError, RunError
from mimic.libraries import import_library

_PREFIX = "hf:"


@dataclass(frozen=True)
class HubName:
    """What `hf:REPO`, `hf:REPO:SPLIT` or `hf:REPO:SPLIT@COUNT` names.

    Attributes:
        text: as it was written.
        repository: of the data set.
        split: None where none is named.
        count: images to be streamed; None downloads the data set.
    """

    text: str
    repository: str
    split: str | None
    count: int | None

    @property
    def patterns(self) -> list[str]:
        """Of the files of the split, in the notation of the shell."""
        if self.split is None:
            return ["*.parquet"]
        return [f"*{self.split}-*.parquet", f"*{self.split}/*.parquet", f"*{self.split}.parquet"]


def is_hub_name(text: str) -> bool:
    """Whether a source is spelled like a data set on the hub."""
    return text.startswith(_PREFIX)


def parse_hub_name(text: str) -> HubName:
    """What a source names that is spelled like a data set on the hub.

    Raises:
        InputError: it names no data set, or a number of images that is none.
    """
    rest, marked, number = text.removeprefix(_PREFIX).partition("@")
    repository, _, split = rest.partition(":")
    if not repository:
        raise InputError(f"'{text}' names no data set; write hf:OWNER/NAME or hf:OWNER/NAME:SPLIT")
    if marked and not (number.isdecimal() and int(number) > 0):
        raise InputError(
            f"'{text}' should end in a number of images, as in hf:OWNER/NAME:SPLIT@20000"
        )
    return HubName(text, repository, split or None, int(number) if marked else None)


def download_dataset(name: HubName) -> Path:
    """Fetch a data set; no code of it runs. Of a split only the files that are named after it.

    Returns:
        The folder with its Parquet files, in the cache of `huggingface_hub`.

    Raises:
        InputError: there is no such data set or it has no Parquet files, or the library is missing.
        RunError: the download failed.
    """
    library = import_library("huggingface_hub")
    try:
        with redirect_stdout(sys.stderr):  # standard output belongs to --json
            folder = library.snapshot_download(
                name.repository,
                repo_type="dataset",
                allow_patterns=name.patterns,
            )
    # What is not there is also a ValueError to the library, so this order matters.
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"cannot download '{name.text}': {error}; check the name and the connection, "
            "or give a folder that holds the Parquet files"
        ) from error
    except ValueError as error:
        raise InputError(f"'{name.repository}' is no name of a data set: {error}") from error
    return Path(folder)


def list_dataset(name: HubName) -> tuple[list[Path], Callable[[Path], BinaryIO]]:
    """The Parquet files of a data set where they are, and what opens one of them for reading.

    Raises:
        InputError: there is no such data set, or the library is missing.
        RunError: the hub cannot be reached; opening a file raises it as well.
    """
    library = import_library("huggingface_hub")
    system = library.HfFileSystem()
    folder = f"datasets/{name.repository}"
    with reaching_the_hub(name.text):
        found = system.find(folder)
    files = [Path(file).relative_to(folder) for file in found if file.endswith(".parquet")]

    def open_file(file: Path) -> BinaryIO:
        return cast(BinaryIO, system.open(f"{folder}/{file.as_posix()}", "rb"))

    return files, open_file


@contextmanager
def reaching_the_hub(text: str) -> Iterator[None]:
    """Around whatever reads from the hub.

    Args:
        text: the name of the source in messages.

    Raises:
        InputError: what is asked for is not there.
        RunError: the hub cannot be reached.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"there is no data set '{text}' on the hub: {error}") from error
    except MimicError:
        raise
    except Exception as error:  # the errors of its client change from release to release
        raise RunError(
            f"cannot read '{text}' from the hub ({type(error).__name__}: {error}); check the "
            "name and the connection, or give a folder that holds the Parquet files"
        ) from error
