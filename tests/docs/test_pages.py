"""The pages of docs/: links lead somewhere, every command has its page, and snippets run."""

import re
from functools import partial
from pathlib import Path

import pytest

from mimic.cli.main import COMMANDS
from mimic.detection.search import search_patches
from mimic.information.fitting import Fitting

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as Markdown renderers make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    broken = []
    for link in _LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page if not path else page.parent / path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_command_has_a_page_and_every_page_a_command():
    assert {page.stem for page in (DOCS / "commands").glob("*.md")} == set(COMMANDS)


def test_the_site_shows_every_page_once():
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(
        page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")
    )


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Critics that are hardly trained, a short search, and tables that forget new rows."""
    monkeypatch.setattr("mimic.information.estimate.Fitting", partial(Fitting, steps=2))
    hasty = partial(search_patches, population=16, rounds=1, keep=8, judged_on=4)
    monkeypatch.setattr("mimic.defenses.mimic.search_patches", hasty)
    for table in ("mimic.attacks.ATTACKS", "mimic.information.estimators.ESTIMATORS"):
        module, _, name = table.rpartition(".")
        rows = getattr(__import__(module, fromlist=[name]), name)
        monkeypatch.setattr(table, dict(rows))


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("name", ["python.md", "extending.md"])
def test_the_snippets_of_a_page_run_in_order(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / name).read_text(encoding="utf-8")
    snippets = [code for language, code in _FENCE.findall(text) if language == "python"]
    namespace = {"__name__": "snippets"}
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), namespace)
    assert len(snippets) >= 6
