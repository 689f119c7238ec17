"""Cards: what is written comes back, and nothing else is taken for one."""

import json

import pytest

from mimic.benchmark import ResultCard, load_cards
from mimic.benchmark.cards import read_result, write_result
from mimic.errors import InputError
from mimic.evaluation import Evaluation

from .support import evaluation, made_up_card


@pytest.fixture
def card(cells) -> ResultCard:
    return made_up_card(cells[0])


def test_a_card_comes_back_from_its_file(card, tmp_path):
    write_result(tmp_path / "a.json", card)
    assert read_result(tmp_path / "a.json") == card


def test_results_are_evaluations(card):
    found = card.results["digits"]["knn"]
    assert isinstance(found, Evaluation)
    assert found.accuracy_ci95 == (0.4, 0.6)


@pytest.mark.parametrize(
    ("ratio", "count", "words"),
    [(0.04, None, "4 %"), (0.005, None, "0.5 %"), (None, 32, "32 images")],
)
def test_the_amount_of_images_is_told(cells, ratio, count, words):
    assert made_up_card(cells[0], ratio=ratio, count=count).amount == words


def test_a_card_without_results_has_an_error(cells):
    card = made_up_card(cells[0], results={}, error={"type": "RunError", "message": "no"})
    assert card.failed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, "with schema 2"),
        ({"seed": "0"}, "the card.seed must be a whole number"),
        ({"results": {"digits": {"knn": {"accuracy": 1.0}}}}, "the card.results.digits.knn lacks"),
        ({"results": {}}, "either results or an error"),
        ({"error": {"type": "RunError", "message": "no"}}, "either results or an error"),
        ({"ratio": 0.5}, "either a ratio or a count"),
        ({"ratio": -0.5, "count": None}, "ratio must be above 0 and at most 1"),
        ({"count": 0}, "count must be 1 or more"),
        ({"seconds": 10**401}, "the card.seconds must be a finite number, not 1000"),
        ({"seconds": -1.0}, "a cost of -1.0"),
        ({"peak_memory_mib": 1e308}, r"a cost of 1e\+308"),
        ({"remark": "new"}, "the unknown remark"),
    ],
)
def test_what_is_not_a_card_is_refused(card, change, message):
    with pytest.raises(InputError, match=message):
        ResultCard.from_dict(card.as_dict() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy": 1e308},
        {"accuracy_ci95": [-0.1, 0.5]},
        {"attack_success_rate": 1.01},
        {"attack_success_rate_ci95": [0.5, 2]},
        {"attack_success_rate_all": -1.0},
        {"heads": [{"seed": 0, "accuracy": 2.0, "attack_success_rate": None}]},
    ],
)
@pytest.mark.parametrize("where", ["results", "controls"])
def test_a_rate_that_cannot_be_is_refused(card, where, change):
    found = {"digits": {"knn": evaluation(**change)}}
    change = {"results": found} if where == "results" else {"controls": {"clean": found}}
    with pytest.raises(InputError, match=r"digits\.knn has the rate .*rates lie in \[0, 1\]"):
        ResultCard.from_dict(card.as_dict() | change)


def test_a_missing_field_is_named(card):
    values = card.as_dict()
    del values["threads"]
    with pytest.raises(InputError, match="lacks threads"):
        ResultCard.from_dict(values)


@pytest.mark.parametrize("text", ["", "[1]", '{"schema": 2', "[" * 100_000])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json' is not a card"):
        read_result(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["[" * 700 + "]" * 700, "NaN", r'"\ud800"'])
def test_what_could_not_be_written_again_is_refused(card, tmp_path, text):
    whole = json.dumps(card.as_dict() | {"settings": {"steps": 0}})
    (tmp_path / "a.json").write_text(whole.replace('"steps": 0', f'"steps": {text}'))
    with pytest.raises(InputError, match=r"a\.json' is not a card"):
        read_result(tmp_path / "a.json")


def test_all_cards_of_a_folder_are_loaded_by_name(cells, tmp_path):
    for name, cell in zip("ba", cells, strict=True):
        write_result(tmp_path / "cards" / f"{name}.json", made_up_card(cell))
    assert [card.label for card in load_cards(tmp_path)] == ["scratch", "finetune"]


def test_a_folder_without_cards_is_named(tmp_path):
    with pytest.raises(InputError, match="no cards in"):
        load_cards(tmp_path)


def test_a_card_is_plain_json(card):
    assert json.loads(json.dumps(card.as_dict())) == card.as_dict()
