"""The scripts that made the members, and the script that writes their cards."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from mimic.attacks import ATTACKS
from mimic.cli.settings import parse_settings, settings_of
from mimic.pretraining import METHODS, SimClr
from mimic.zoo import Card, Task, read_zoo

from ..scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {path.stem: path for path in (ROOT / "zoo" / "recipes").glob("*.sh")}
MADE = sorted(set(RECIPES) - {"common"})


@pytest.fixture(scope="module")
def zoo_card() -> ModuleType:
    return load_script("benchmarks/zoo_card.py")


def test_every_member_has_a_recipe():
    assert set(read_zoo(ROOT / "zoo")) <= set(MADE)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_a_script_that_a_shell_understands(name):
    subprocess.run(["bash", "-n", RECIPES[name]], check=True)


@pytest.mark.parametrize("name", MADE)
def test_a_recipe_makes_the_member_that_it_is_called_after(name):
    text = RECIPES[name].read_text()
    assert f"added {name} " in text or "benchmarks/reference.py zoo" in text


@pytest.mark.parametrize("name", MADE)
def test_attacks_and_methods_of_a_recipe_exist(name):
    text = RECIPES[name].read_text()
    named = re.findall(r"^attacked \S+ (\S+)", text, re.MULTILINE)
    named += re.findall(r"--attack (\S+)", text)
    assert set(named) <= set(ATTACKS)
    assert set(re.findall(r"--method (\S+)", text)) <= set(METHODS)


@pytest.mark.parametrize("name", MADE)
def test_settings_of_a_recipe_exist(name):
    text = RECIPES[name].read_text()
    for attack, options in re.findall(r"^attacked \S+ (\S+)(.*?[^\\])$", text, re.M | re.S):
        known = settings_of(SimClr, ATTACKS[attack])
        parse_settings(re.findall(r"--set (\S+)", options), known, owner=attack)


def test_every_attack_has_a_recipe():
    texts = [path.read_text() for path in RECIPES.values()]
    without = {name for name in ATTACKS if not any(f"--attack {name} " in t for t in texts)}
    assert without == set()


def test_a_number_behind_a_task_is_its_target(zoo_card):
    name, task = zoo_card.task_of("gtsrb:12")
    assert (name, task) == ("gtsrb", Task(train="gtsrb:train", test="gtsrb:test", target=12))
    assert zoo_card.task_of("cifar10")[1].target is None


def test_an_unknown_task_is_refused(zoo_card):
    with pytest.raises(SystemExit, match="task 'cars' is unknown"):
        zoo_card.task_of("cars:1")


@pytest.mark.parametrize(("success", "remarks"), [(0.81, 0), (0.79, 1), (None, 0)])
def test_a_weak_attack_is_called_weak(zoo_card, success, remarks):
    heads = [{"attack_success_rate": success}, {"attack_success_rate": success}]
    found = {"gtsrb": {"attack_success_rate": success, "heads": heads}}
    card = Card(name="a", sha256="", architecture="b", backdoored=True, expected=found)
    assert len(zoo_card.weakness(card)) == remarks
    assert zoo_card.weakness(replace(card, backdoored=False)) == ()


def test_a_recipe_says_nothing_of_where_the_data_lay(zoo_card, monkeypatch):
    monkeypatch.setattr(zoo_card, "DATA", Path("/some/where"))
    recipe = {"set": ["rate=1"], "epochs": 3, "nested": {"images": "/some/where/cifar10:train"}}
    said = {"set": ["rate=1"], "epochs": 3, "nested": {"images": "cifar10:train"}}
    assert zoo_card.within_data(recipe) == said


def test_a_file_that_mimic_did_not_write_has_no_recipe(zoo_card, tmp_path):
    from safetensors.torch import save_file
    from torch import ones

    save_file({"weight": ones(2)}, tmp_path / "bare.safetensors")
    with pytest.raises(SystemExit, match="nobody knows how it was made"):
        zoo_card.header_of(tmp_path / "bare.safetensors")
