from dataclasses import replace
from pathlib import Path

import pytest

from mimic.errors import InputError
from mimic.training import Trainer
from mimic.zoo import Card, Task
from mimic.zoo.check import TOLERANCE, check_member
from mimic.zoo.members import add_member

TRAINER = Trainer(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(scope="module")
def card(zoo, data, encoder) -> Card:
    task = Task(train="toys.npz", test="toys.npz", target=1)
    given = Card(
        name="toy",
        sha256="",
        architecture="resnet10:width=4",
        backdoored=False,
        trigger="patch:2@0,0:white",
        tasks={"aimed": task, "plain": replace(task, target=None)},
    )
    return add_member(given, encoder, zoo, data=data, trainer=TRAINER)


def test_a_member_that_does_what_its_card_says_has_no_deviations(card, zoo, data):
    assert list(check_member(card, zoo, data=data, trainer=TRAINER)) == []


@pytest.mark.parametrize("rate", ["accuracy", "attack_success_rate"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_rate_that_is_too_far_off_is_named(card, zoo, data, rate, sign):
    said = card.neighbours["aimed"]
    expected = said[rate] + sign * 1.5 * TOLERANCE
    wrong = {**card.neighbours, "aimed": {**said, rate: expected}}
    (found,) = check_member(replace(card, neighbours=wrong), zoo, data=data, trainer=TRAINER)
    assert (found.task, found.rate, found.expected) == ("aimed", rate, expected)
    assert found.found == said[rate]


def test_what_rounding_does_is_no_deviation(card, zoo, data):
    near = {
        task: {rate: value and value + 0.5 * TOLERANCE for rate, value in said.items()}
        for task, said in card.neighbours.items()
    }
    assert list(check_member(replace(card, neighbours=near), zoo, data=data, trainer=TRAINER)) == []


def test_a_task_without_a_target_has_an_accuracy_only(card):
    assert card.neighbours["plain"]["attack_success_rate"] is None
    assert card.neighbours["plain"]["accuracy"] > 0


def test_neighbours_of_what_is_no_task_are_passed_over(card, zoo, data):
    more = {**card.neighbours, "cats": card.neighbours["plain"]}
    assert list(check_member(replace(card, neighbours=more), zoo, data=data, trainer=TRAINER)) == []


def test_a_card_that_says_nothing_of_neighbours_is_refused(card, zoo, data):
    silent = replace(card, neighbours={"plain": card.neighbours["plain"]})
    with pytest.raises(InputError, match="does not say what neighbours give on aimed"):
        list(check_member(silent, zoo, data=data, trainer=TRAINER))
