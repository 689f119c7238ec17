"""Encoders by name from public libraries: `timm:`, `torchvision:`, `open_clip:` and `hf:`."""

import re
from pathlib import Path

from torch import nn

from mimic.encoders.hub import huggingface, open_clip, timm, torchvision
from mimic.encoders.hub.tower import Tower
from mimic.errors import InputError
from mimic.files import expanded

LIBRARIES = ("timm", "torchvision", "open_clip", "hf")
_SPELLING = re.compile(r"(?P<name>[^:@]+)(:(?P<settings>[^:@]*))?(@(?P<file>.+))?")

__all__ = ["LIBRARIES", "Tower", "companions", "find_tower", "is_hub_name", "open_source"]


def is_hub_name(text: str) -> bool:
    """Whether a source or an architecture names a library."""
    return text.partition(":")[0] in LIBRARIES and ":" in text


def find_tower(architecture: str) -> Tower:
    """The tower of an architecture; reads no file and downloads nothing.

    Args:
        architecture: `timm:NAME`, `torchvision:NAME` or `open_clip:NAME`, with settings as in
            `timm:NAME:img_size=64,global_pool=avg`, or `hf:` and the text of a configuration.

    Raises:
        InputError: the library is not installed, or does not know the name or a setting.
    """
    library, _, rest = architecture.partition(":")
    if library == "hf":
        return huggingface.find_tower(rest)
    name, settings, file = _parts(architecture)
    if file is not None:
        raise InputError(f"architecture '{architecture}' names a file; give it as the encoder")
    find = {
        "timm": timm.find_tower,
        "torchvision": torchvision.find_tower,
        "open_clip": open_clip.find_tower,
    }
    return find[library](name, settings)


def open_source(source: str) -> tuple[Tower, Path | nn.Module]:
    """The tower that a source names, and its weights: a file to be matched, or the network itself.

    Args:
        source: an architecture, and after an `@` a file; without a file the weights that the
            library publishes are taken. `hf:` stands before a folder or a repository,
            and `:pooling=class` or `:pooling=mean` may follow; open_clip's weights also go by tag.

    Raises:
        InputError: the source is not understood, or a library does not know what it names.
        RunError: weights cannot be downloaded.
    """
    library, _, rest = source.partition(":")
    if library == "hf":
        place, pooling = huggingface.split_pooling(rest)
        return huggingface.read_folder(huggingface.folder_of(place), pooling)
    name, settings, file = _parts(source)
    architecture = source.partition("@")[0]
    if library == "open_clip" and file is None:
        tags = ", ".join(open_clip.tags_of(name)) or "none"
        raise InputError(
            f"'{source}' does not say which weights; write {source}@FILE or {source}@TAG, with a "
            f"tag of open_clip: {tags}"
        )
    if library == "open_clip" and file is not None and open_clip.is_tag(name, file):
        tower = open_clip.find_tower(name, settings, tag=file)
        return tower, open_clip.pretrained(name, settings, file)
    tower = find_tower(architecture)
    if file is not None:
        return tower, expanded(file)
    if library == "timm":
        return tower, timm.pretrained(tower)
    return tower, torchvision.pretrained(tower)


def companions(architecture: str | None, weights: Path) -> list[Path]:
    """Files beside the weights that the library needs to load them."""
    if architecture is None or not architecture.startswith("hf:"):
        return []
    names = (huggingface.CONFIG_FILE, huggingface.PROCESSOR_FILE)
    return [path for name in names if (path := weights.with_name(name)).is_file()]


def _parts(text: str) -> tuple[str, str, str | None]:
    library, _, rest = text.partition(":")
    found = _SPELLING.fullmatch(rest)
    if found is None:
        raise InputError(
            f"'{text}' is not understood; write {library}:NAME or {library}:NAME@FILE, with "
            f"settings as in {library}:NAME:SETTING=VALUE,SETTING=VALUE"
        )
    return found["name"], found["settings"] or "", found["file"]
