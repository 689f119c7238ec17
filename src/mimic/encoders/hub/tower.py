"""Tower: the image tower of a public library's model, in the one shape that mimic asks for."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from torch import nn

from mimic.encoders.matching import FileSpelling
from mimic.errors import InputError

Setting = int | float | bool | str
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_WORD = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Tower:
    """How to build a backbone, and what its library knows about it.

    Attributes:
        architecture: the spelling that finds it again.
        build: builds it with fresh weights and without classifier: normalised images to one feature
            vector per image.
        mean, std: normalisation of images in [0, 1].
        image_size: height and width in pixels, or None.
    """

    architecture: str
    build: Callable[[], nn.Module]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    image_size: int | None = None


def spelled(architecture: str, settings: Mapping[str, Setting]) -> str:
    """An architecture with its settings, as in `timm:resnet18:in_chans=3`."""
    return ":".join(filter(None, [architecture, ",".join(f"{k}={v}" for k, v in settings.items())]))


def parse_settings(text: str, *, refused: Iterable[str] = ()) -> dict[str, Setting]:
    """Settings such as `img_size=64,global_pool=avg`.

    Values are numbers, True, False or plain words, so that none can name a file or an address.

    Args:
        text: what was written; may be empty.
        refused: beginnings of names that are not for users.

    Raises:
        InputError: it is not written like that.
    """
    settings: dict[str, Setting] = {}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        if not _KEY.fullmatch(key) or key.startswith(tuple(refused)) or key in settings:
            raise InputError(f"setting '{part}' is not understood; write NAME=VALUE,NAME=VALUE")
        settings[key] = _value(part, value)
    return settings


def _value(part: str, text: str) -> Setting:
    if text in ("True", "False"):
        return text == "True"
    if _WORD.fullmatch(text):
        return text
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    raise InputError(f"the value of '{part}' must be a number, True, False or a plain word")


def as_in_files(backbone: nn.Module, spelling: FileSpelling) -> nn.Module:
    """The same backbone, which now knows how files of its library are written."""
    backbone.file_spelling = spelling  # type: ignore[assignment]
    return backbone


def built(architecture: str, build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` gives, in float32.

    Raises:
        InputError: the library refuses to build it.
    """
    try:
        return build().float()
    except Exception as error:  # what a library raises on a wrong setting is up to the library
        raise InputError(
            f"'{architecture}' cannot be built ({type(error).__name__}: {error})"
        ) from error


def unknown(library: str, name: str, names: Iterable[str]) -> InputError:
    """What to answer where a library has no model of that name."""
    near = get_close_matches(name, list(names), n=3)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return InputError(f"{library} has no model '{name}'{meant}")
