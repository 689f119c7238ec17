"""FIELD=VALUE on the command line: from text to a setting of an attack or a defence."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from mimic.errors import InputError

_WORDS = {"true": True, "yes": True, "false": False, "no": False}


def settings_of(*kinds: type, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Types of the settings that can be written as text, by name; the last kind wins.

    They are whole numbers, numbers, yes or no, one of a few words, and lists of numbers. That a
    setting may also be None is left out of its type.

    Args:
        kinds: dataclasses.
        leave_out: names of settings that have an option of their own.
    """
    return {
        field.name: _value_type(field.type)
        for kind in kinds
        for field in fields(kind)
        if field.init and field.name not in leave_out and _is_settable(_value_type(field.type))
    }


def parse_settings(
    texts: Sequence[str], known: Mapping[str, Any], *, owner: str, options: Collection[str] = ()
) -> dict[str, Any]:
    """Values by field from texts such as `rate=0.01`.

    Args:
        texts: as the user wrote them; the last one of a field wins.
        known: as `settings_of` gives them.
        owner: whose settings they are, for errors.
        options: fields that have an option of their own, for errors.

    Raises:
        InputError: there is no such field, or the value is not of its type.
    """
    return dict(_parse_setting(text, known, owner, options) for text in texts)


def _parse_setting(
    text: str, known: Mapping[str, Any], owner: str, options: Collection[str]
) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if name in options:
        raise InputError(f"--set '{text}' is not understood; write --{name} {value}".rstrip())
    if name not in known or not separator:
        choice = f"with one of {', '.join(sorted(known))}" if known else "but it has none"
        raise InputError(
            f"--set '{text}' is not understood; write FIELD=VALUE, for {owner} {choice}"
        )
    try:
        return name, _read(value, known[name])
    except ValueError:
        wanted = _describe(known[name])
        raise InputError(f"--set '{text}': '{value}' is not {wanted}") from None


def _value_type(kind: Any) -> Any:
    values = [value for value in get_args(kind) if value is not NoneType]
    return values[0] if get_origin(kind) is UnionType and len(values) == 1 else kind


def _is_settable(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return all(isinstance(choice, str) for choice in get_args(kind))
    return kind in (int, float, bool) or kind == tuple[float, ...]


def _read(value: str, kind: Any) -> Any:
    if kind is bool:
        if value.lower() not in _WORDS:
            raise ValueError(value)
        return _WORDS[value.lower()]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(value)
        return value
    if get_origin(kind) is tuple:
        return tuple(_finite(part) for part in value.split(","))
    return _finite(value) if kind is float else kind(value)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is tuple:
        return "a list of numbers such as 0.1,0.2"
    return {int: "a whole number", float: "a number", bool: "true or false"}[kind]
