"""`mimic list`: names and summaries of everything there is."""

from collections.abc import Callable
from typing import Any

import pytest

KINDS = {
    "attacks": "badencoder",
    "defenses": "mimic",
    "estimators": "infonce",
    "architectures": "resnet18",
    "datasets": "digits",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_lists_names_with_summaries(run: Callable[..., Any], kind: str) -> None:
    items = run("list", kind, "--json").data["items"]
    assert KINDS[kind] in [item["name"] for item in items]
    assert all(item["summary"] for item in items)


def test_people_get_a_table(run: Callable[..., Any]) -> None:
    assert "1,797 handwritten digits" in run("list", "datasets").out
