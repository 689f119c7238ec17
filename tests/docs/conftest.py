"""Scripts of the docs, which are no package."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a script of the docs by name."""
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module
