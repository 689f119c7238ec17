from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from mimic.cli.settings import parse_settings, settings_of
from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Method:
    epochs: int = 3
    rate: float = 0.1
    exact: bool = False
    way: Literal["near", "far"] = "near"
    shares: tuple[float, ...] = (0.1,)
    limit: int | None = None
    helper: Any = None
    made: int = field(init=False, default=0)


def parsed(*texts: str) -> dict[str, Any]:
    return parse_settings(texts, settings_of(Method), owner="method 'm'")


def test_what_can_be_written_as_text_can_be_set():
    assert sorted(settings_of(Method)) == ["epochs", "exact", "limit", "rate", "shares", "way"]


def test_settings_with_an_option_of_their_own_can_be_left_out():
    assert "epochs" not in settings_of(Method, leave_out=("epochs",))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("epochs=7", 7),
        ("rate=1e-3", 1e-3),
        ("exact=yes", True),
        ("exact=False", False),
        ("way=far", "far"),
        ("shares=0.1,2", (0.1, 2.0)),
        ("limit=4", 4),
    ],
)
def test_each_kind_is_read(text, value):
    assert parsed(text) == {text.partition("=")[0]: value}


def test_the_last_one_wins():
    assert parsed("epochs=1", "epochs=2") == {"epochs": 2}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("epochs=1.5", "'1.5' is not a whole number"),
        ("rate=fast", "'fast' is not a number"),
        ("rate=nan", "'nan' is not a number"),
        ("shares=0.1,inf", "'0.1,inf' is not a list of numbers"),
        ("limit=none", "'none' is not a whole number"),
        ("exact=maybe", "'maybe' is not true or false"),
        ("way=up", "'up' is not one of near, far"),
        ("shares=1,x", "'1,x' is not a list of numbers"),
        ("epochs", "write FIELD=VALUE"),
        ("speed=1", "with one of epochs, exact, limit, rate, shares, way"),
        ("helper=1", "with one of epochs, exact, limit, rate, shares, way"),
    ],
)
def test_what_is_not_understood_is_named(text, complaint):
    with pytest.raises(InputError, match=complaint):
        parsed(text)


def test_nothing_to_set_is_said():
    with pytest.raises(InputError, match="for method 'm' but it has none"):
        parse_settings(["a=1"], {}, owner="method 'm'")


def test_a_field_with_an_option_of_its_own_is_pointed_to_it():
    known = settings_of(Method, leave_out=("epochs",))
    with pytest.raises(InputError, match=r"write --epochs 7$"):
        parse_settings(["epochs=7"], known, owner="method 'm'", options=("epochs",))
