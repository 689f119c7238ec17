"""The reference: its pages name what there is, leave out no verb, and the site builds."""

import re
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import mimic

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
_ENTRY = re.compile(r"^::: (\S+)$", re.MULTILINE)


def entries() -> list[str]:
    return [name for page in PAGES for name in _ENTRY.findall(page.read_text(encoding="utf-8"))]


def found(name: str) -> object:
    """The module of that name, or what it holds under its last part."""
    if find_spec(name.rpartition(".")[0]) is not None:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            pass
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


@pytest.mark.parametrize("name", entries())
def test_everything_in_the_reference_exists_and_is_documented(name: str) -> None:
    assert found(name).__doc__


def test_nothing_is_there_twice() -> None:
    names = entries()
    assert len(names) == len(set(names))


def test_every_public_verb_is_there() -> None:
    verbs = {getattr(mimic, name) for name in mimic.__all__ if name != "__version__"}
    assert verbs <= {found(name) for name in entries()}


@pytest.mark.parametrize("folder", ["defenses", "losses"])
def test_every_file_of_a_folder_that_users_pick_from_is_there(folder: str) -> None:
    public = {
        f"mimic.{folder}.{path.stem}"
        for path in (ROOT / "src" / "mimic" / folder).glob("*.py")
        if path.stem != "__init__"
    }
    assert public - set(entries()) <= INTERNAL


INTERNAL = {
    f"mimic.{name}"
    for name in (
        "defenses.channel_masks",
        "defenses.channels",
        "defenses.curves",
        "defenses.holdout",
        "defenses.inapplicable",
        "defenses.permutation",
        "defenses.plans",
        "defenses.views",
        "losses.maps",
        "losses.pairs",
    )
}
"""What other modules of the folder are made of."""


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    for library in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(library, reason="the site needs the extra 'docs'")
    for name in ("docs", "src"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "evaluate_zero_shot" in (tmp_path / "site/reference/evaluation/index.html").read_text()
