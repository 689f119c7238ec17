"""Plain JSON values to typed ones: every field is checked, and the first wrong one is named."""

import math
import sys
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mimic.errors import InputError

_NAMES = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}


def parse(kind: Any, value: Any, where: str) -> Any:
    """Turn what JSON gave into a value of a type.

    Args:
        kind: str, int, float, bool, a dataclass or a Literal, or of these `X | None`,
            `tuple[X, Y]`, `tuple[X, ...]` and `Mapping[str, X]`; Any takes everything.
        value: plain.
        where: name of the value, for the message.

    Raises:
        InputError: the value is of another type, or something is missing or unknown in it.
    """
    if kind is Any:
        return value
    origin = get_origin(kind)
    if origin is UnionType:
        (inner,) = (option for option in get_args(kind) if option is not NoneType)
        return None if value is None else parse(inner, value, where)
    if origin is Literal:
        return _choice(get_args(kind), value, where)
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    if origin is not None and issubclass(origin, Mapping):
        of = get_args(kind)[1]
        return {name: parse(of, item, f"{where}.{name}") for name, item in _dict(value, where)}
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    return _scalar(kind, value, where)


def read_table(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """Like `parse` for a dataclass and a table that a person wrote: defaults may be left out.

    Raises:
        InputError: as `parse` does; an unknown name comes with the nearest one that is known.
    """
    check_names(table, [field.name for field in fields(kind)], "setting", where)
    defaults = {f.name: f.default for f in fields(kind) if f.default is not MISSING}
    return parse(kind, defaults | dict(table), where)


def check_names(given: Collection[str], known: Collection[str], what: str, where: str) -> None:
    """Refuse names that are not known, with the nearest one that is.

    Args:
        given: what a person wrote.
        known: what there is.
        what: kind of thing, as in "defence".
        where: the place they were written at.

    Raises:
        InputError: one of them is unknown.
    """
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'? There are" if near else "there are"
            raise InputError(
                f"{what} '{name}' of {where} is unknown; {hint} {', '.join(known) or 'none'}"
            )


def _choice(known: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in known:
        raise InputError(f"{where} must be one of {', '.join(map(str, known))}, not {value!r:.80}")
    return value


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and type(value) is int and abs(value) <= sys.float_info.max:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{where} must be {_NAMES[kind]}, not {value!r:.80}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{where} must be a list, not {value!r:.80}")
    wanted = (kinds[0],) * len(value) if kinds[-1] is Ellipsis else kinds
    if len(value) != len(wanted):
        raise InputError(f"{where} must hold {len(wanted)} values, not {len(value)}")
    pairs = zip(wanted, value, strict=True)
    return tuple(parse(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(pairs))


def _dict(value: Any, where: str) -> Any:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{where} must be a table of named values, not {value!r:.80}")
    return value.items()


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    given = dict(_dict(value, where))
    hints = _hints(kind)
    wanted = [field.name for field in fields(kind)]
    for problem, names in (
        ("lacks", [name for name in wanted if name not in given]),
        ("has the unknown", [name for name in given if name not in wanted]),
    ):
        if names:
            raise InputError(f"{where} {problem} {', '.join(names)}")
    return kind(**{name: parse(hints[name], given[name], f"{where}.{name}") for name in wanted})
