"""The pages of docs/: links lead somewhere, every command has its page, and snippets run."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import mimic
from mimic.attacks import ATTACKS, TRIGGERS, Attack
from mimic.cli.main import COMMANDS, main
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.errors import RunError
from mimic.information.estimators import ESTIMATORS
from mimic.information.fitting import Fitting
from mimic.training import Plan, Trainer

from ..searches import shorten_searches

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
def _hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Critics that are hardly trained, a short search, and tables that forget new rows."""
    monkeypatch.setattr("mimic.information.estimate.Fitting", partial(Fitting, steps=2))
    shorten_searches(monkeypatch, population=16, rounds=1, keep=8, judged_on=4)
    tables: list[dict[str, Any]] = [ATTACKS, TRIGGERS, ESTIMATORS]
    before = [dict(table) for table in tables]
    yield
    for table, rows in zip(tables, before, strict=True):
        table.clear()
        table.update(rows)


def snippets_of(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [code for language, code in _FENCE.findall(text) if language == "python"]


def run_in_order(snippets: list[str], page: Path, names: dict[str, Any]) -> None:
    namespace = {"__name__": "snippets"} | names
    for snippet in snippets:
        exec(compile(snippet, page.name, "exec"), namespace)


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("name", ["python.md", "extending.md", "attacks/your-own.md"])
def test_the_snippets_of_a_page_run_in_order(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = snippets_of(DOCS / name)
    run_in_order(snippets, DOCS / name, {})
    assert len(snippets) >= 4


class _Few:
    """The first images of a set."""

    def __init__(self, data: Any) -> None:
        self.data, self.streamed = data, data.streamed

    def __len__(self) -> int:
        return min(8, len(self.data))

    def batch(self, positions: torch.Tensor) -> Any:
        return self.data.batch(positions)


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    """A small encoder, also in the current folder as `clean.safetensors`."""
    monkeypatch.chdir(tmp_path)
    arch = "resnet10:width=2"
    encoder = Encoder(build_backbone(arch), architecture=arch, image_size=16)
    save_encoder(encoder, tmp_path / "clean.safetensors")
    return encoder


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_the_snippets_of_an_attack_run(name, clean, monkeypatch):
    fit = Trainer.fit

    def fit_a_step(self: Trainer, objective: Any, data: Any, plan: Plan, **names: str) -> Any:
        return fit(self, objective, _Few(data), replace(plan, epochs=1, batch_size=8), **names)

    monkeypatch.setattr(Trainer, "fit", fit_a_step)
    images = mimic.open_images("digits:train", labels=True)
    names = {
        "clean": clean,
        "encoder": clean,
        "images": images,
        "references": images.batch(torch.tensor([3])),
        "trainer": Trainer(device="cpu", precision="32-true"),
    }
    snippets = snippets_of(DOCS / "attacks" / f"{name}.md")
    run_in_order(snippets, DOCS / "attacks" / f"{name}.md", names)
    assert snippets


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_the_command_of_an_attack_is_understood(name, clean, monkeypatch, capsys):
    def reached(*_: object, **__: object) -> None:
        raise RunError("the attack was reached")

    monkeypatch.setattr(Attack, "__call__", reached)
    text = (DOCS / "attacks" / f"{name}.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\$ mimic (attack(?:\\\n|.)*)$", text, re.MULTILINE)
    assert main([*shlex.split(command.replace("\\\n", " ")), "--device", "cpu"]) == 3
    assert "the attack was reached" in capsys.readouterr().err
