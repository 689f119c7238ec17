"""Values from JSON and TOML: what fits is typed, what does not is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from mimic.benchmark.schema import check_names, parse, read_table
from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Point:
    x: float
    name: str | None = None


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        (float, 2, 2.0),
        (int, 2, 2),
        (str | None, None, None),
        (float | None, 1, 1.0),
        (tuple[float, float], [1, 2], (1.0, 2.0)),
        (tuple[str, ...], ["a"], ("a",)),
        (tuple[str, ...], [], ()),
        (Mapping[str, tuple[int, ...]], {"a": [1]}, {"a": (1,)}),
        (Literal["a", "b"], "b", "b"),
        (Point, {"x": 1, "name": None}, Point(x=1.0)),
        (Any, object, object),
    ],
)
def test_what_fits_is_typed(kind, value, typed):
    assert parse(kind, value, "it") == typed


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (int, True, "it must be a whole number, not True"),
        (int, 1.0, "it must be a whole number"),
        (float, True, "it must be a finite number"),
        (float, 10**400, "it must be a finite number, not 1000"),
        (float, float("nan"), "it must be a finite number, not nan"),
        (str, None, "it must be text"),
        (bool, 1, "it must be true or false"),
        (tuple[float, float], [1], "it must hold 2 values, not 1"),
        (tuple[int, ...], [1, "b"], r"it\[1\] must be a whole number"),
        (tuple[int, ...], 3, "it must be a list"),
        (Mapping[str, int], {"a": "b"}, "it.a must be a whole number"),
        (Mapping[str, int], [1], "it must be a table"),
        (Literal["a", "b"], "c", "it must be one of a, b, not 'c'"),
        (Point, {"name": "p"}, "it lacks x"),
        (Point, {"x": 1, "name": None, "y": 2}, "it has the unknown y"),
    ],
)
def test_what_does_not_fit_is_named(kind, value, message):
    with pytest.raises(InputError, match=message):
        parse(kind, value, "it")


def test_a_table_may_leave_out_what_has_a_default():
    assert read_table(Point, {"x": 1}, "a point") == Point(x=1.0)


def test_a_table_may_not_leave_out_the_rest():
    with pytest.raises(InputError, match="a point lacks x"):
        read_table(Point, {}, "a point")


def test_an_unknown_name_comes_with_the_nearest_one():
    with pytest.raises(InputError, match=r"'nmae' of a point is unknown; did you mean 'name'\?"):
        read_table(Point, {"x": 1, "nmae": "p"}, "a point")


def test_a_name_that_is_like_no_other_comes_with_all_of_them():
    with pytest.raises(
        InputError, match="defence 'zzz' of it is unknown; there are mimic, scratch"
    ):
        check_names(["zzz"], ["mimic", "scratch"], "defence", "it")
