"""The pictures of the attack pages: one for each attack, made by the attack's own code."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from mimic.attacks import ATTACKS, parse_trigger

DOCS = Path(__file__).parents[2] / "docs"
MOST_BYTES = 60_000
LEARN_FIRST = {"inactive", "blto"}
"""Attacks that learn their trigger: a minute, too long for a test."""


@pytest.fixture
def figure(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("attack_figure")


def panels(figure: ModuleType, path: Path) -> list[np.ndarray]:
    """The panels of the first row, at the size of an image."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    enlarged = figure.PANEL // figure.SIDE
    starts = range(figure.GAP, pixels.shape[1] - figure.GAP, figure.PANEL + figure.GAP)
    rows = slice(figure.LINE, figure.LINE + figure.PANEL, enlarged)
    return [pixels[rows, start : start + figure.PANEL : enlarged] for start in starts]


def test_every_attack_has_a_picture_that_the_script_makes(figure):
    assert set(figure.LEARNED) == LEARN_FIRST
    assert set(figure.SHOWN) | LEARN_FIRST == set(ATTACKS)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_the_page_of_every_attack_shows_its_picture(name):
    page = (DOCS / "attacks" / f"{name}.md").read_text(encoding="utf-8")
    assert f"](../pictures/attacks/{name}.png)" in page


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_picture_is_small_enough_for_a_repository(name):
    assert (DOCS / "pictures" / "attacks" / f"{name}.png").stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", ["badencoder", "ctrl"])
def test_the_same_attack_gives_the_same_bytes(figure, name, tmp_path):
    for folder in ("first", "second"):
        figure.main([name], folder=tmp_path / folder)
    first, second = (tmp_path / folder / f"{name}.png" for folder in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - LEARN_FIRST))
def test_only_attacks_that_poison_show_what_they_plant(figure, name, tmp_path):
    figure.main([name], folder=tmp_path)
    poisons = ATTACKS[name].threat_model == "poisoning"
    assert len(panels(figure, tmp_path / f"{name}.png")) == (4 if poisons else 3)


@pytest.mark.parametrize("name", ["ctrl", "ssl-backdoor"])
def test_the_third_panel_is_the_first_one_with_the_trigger(figure, name, tmp_path):
    figure.main([name], folder=tmp_path)
    image, _, triggered, _ = panels(figure, tmp_path / f"{name}.png")
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
    expected = parse_trigger(figure.SHOWN[name].triggers[0])(pixels)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(triggered, expected.numpy())


def test_an_amplified_difference_can_be_taken_back(figure):
    image = torch.full((3, 32, 32), 100, dtype=torch.uint8)
    trigger = parse_trigger("ctrl:100")
    picture, note = figure.change(trigger, image)
    assert note.startswith("difference × 5,")
    expected = trigger(image[None])[0].int() - image.int()
    assert torch.equal((picture.int() - 128), 5 * expected)


def test_a_rectangle_is_shown_where_it_is_pasted(figure):
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    trigger = parse_trigger("grid:8@random(0.1-0.9):7")
    picture, _ = figure.change(trigger, image)
    pasted = trigger(image[None])[0]
    covered = (picture != 128).any(dim=0)
    assert torch.equal(picture[:, covered], pasted[:, covered])
    assert (pasted[:, ~covered] == 0).all()
