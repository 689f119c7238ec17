"""The grid: each with each, under names that are files."""

import pickle

import pytest

from mimic.benchmark import read_config
from mimic.benchmark.grid import differing, expand

from .support import FINETUNE, HEAD, SCENARIO, SCRATCH, made_up_card


def grid(write, head: str, scenario: str = SCENARIO):
    return expand(read_config(write(head, scenario, FINETUNE, SCRATCH)))


def test_every_combination_is_there_once(write):
    head = HEAD.replace("counts = [32]", "ratios = [0.1, 0.2]\nseeds = [0, 1, 2]")
    cells = grid(write, head)
    found = {(c.label, c.ratio, c.defense.seed) for c in cells}
    assert found == {
        (label, ratio, seed)
        for label in ("finetune", "scratch")
        for ratio in (0.1, 0.2)
        for seed in (0, 1, 2)
    }
    assert len(cells) == len(found)


def test_a_seed_is_finished_before_the_next_begins(write):
    cells = grid(write, HEAD + "seeds = [5, 3]\n")
    assert [cell.defense.seed for cell in cells] == [5, 5, 3, 3]


@pytest.mark.parametrize("name", ["<script>", "../up", "a/b", "tür", "..", "x" * 300])
def test_any_name_of_a_scenario_gives_the_name_of_a_file(write, name):
    (cell, _) = grid(write, HEAD, SCENARIO.replace('"corner"', f'"{name}"'))
    assert cell.scenario.name == name
    assert "/" not in cell.stem
    assert not cell.stem.startswith(".")
    assert len(cell.stem) < 200


def test_names_that_look_alike_give_different_files(write):
    cells = [
        grid(write, HEAD, SCENARIO.replace('"corner"', f'"{name}"'))[0] for name in ("a b", "a-b")
    ]
    assert cells[0].stem != cells[1].stem


def test_a_cell_can_be_sent_to_another_process(cells):
    assert pickle.loads(pickle.dumps(cells[0])) == cells[0]


def test_the_card_of_a_cell_does_not_differ_from_it(cells):
    assert differing(made_up_card(cells[0]), cells[0]) == ""


def test_another_setting_is_named(write, cells):
    (other, _) = expand(read_config(write(HEAD, SCENARIO, FINETUNE.replace("16", "8"), SCRATCH)))
    assert differing(made_up_card(cells[0]), other) == "setting batch_size 16 instead of 8"


def test_another_probe_is_named(write, cells):
    (other, _) = grid(write, HEAD.replace("knn", "linear"))
    assert differing(made_up_card(cells[0]), other) == "probes ['knn'] instead of ['linear']"
