"""A command as one types it: from its options back to text, so that a report can be made again."""

import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from tyro.conf import Positional

_POSITIONAL = get_args(Positional[str])[1]


def respell(name: str, command: Any) -> str:
    """The command line that makes `command`; options that have their default are left out.

    Args:
        name: of the command, such as "scan".
        command: a dataclass of options, some of which may be groups of options.
    """
    words = [*_positionals(command), *_options(command)]
    return shlex.join(["mimic", name, *words])


def _positionals(command: Any) -> Iterator[str]:
    hints = get_type_hints(type(command), include_extras=True)
    for field in fields(command):
        if _is_positional(hints[field.name]):
            yield str(getattr(command, field.name))


def _options(command: Any) -> Iterator[str]:
    hints = get_type_hints(type(command), include_extras=True)
    for field in fields(command):
        value = getattr(command, field.name)
        if is_dataclass(value):
            yield from _options(value)
        elif not _is_positional(hints[field.name]) and value != field.default:
            yield from _spelled(f"--{field.name.replace('_', '-')}", value)


def _spelled(option: str, value: Any) -> Iterator[str]:
    if value is True:
        yield option
    elif isinstance(value, tuple):
        for one in value:
            yield from (option, str(one))
    elif str(value).startswith("-"):
        yield f"{option}={value}"
    else:
        yield from (option, str(value))


def _is_positional(hint: Any) -> bool:
    return _POSITIONAL in getattr(hint, "__metadata__", ())
