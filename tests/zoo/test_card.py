import json
from dataclasses import replace

import pytest

from mimic.errors import InputError
from mimic.files import write_json
from mimic.zoo.card import Card, Task, card_from, find_zoo, read_card, read_zoo

CARD = Card(
    name="toy",
    sha256="0" * 64,
    architecture="resnet10",
    backdoored=True,
    attack="badencoder",
    trigger="patch:2@0,0:white",
    tasks={"digits": Task(train="digits:train", test="digits:test", target=3)},
    expected={"digits": {"accuracy": 0.5, "attack_success_rate": None}},
    remarks=("weak",),
)


def test_a_card_survives_json():
    assert card_from(json.loads(json.dumps(CARD.as_dict()))) == CARD


def test_another_schema_is_refused():
    with pytest.raises(InputError, match="schema 1; only 4"):
        card_from(CARD.as_dict() | {"schema": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"attack": ["badencoder"]},
        {"trigger": {}},
        {"recipe": []},
        {"tasks": {"digits": {"test": "x"}}},
        {"tasks": {"digits": {"train": 5, "test": "x"}}},
        {"tasks": {"digits": {"train": "x", "test": "x", "target": "3"}}},
        {"expected": {"digits": {}}},
        {"expected": {"digits": {"accuracy": "x", "attack_success_rate": None}}},
        {"expected": {"digits": {"accuracy": 1.5, "attack_success_rate": None}}},
        {"expected": {"digits": {"accuracy": 0.5, "attack_success_rate": float("nan")}}},
        {"expected": {"digits": {"accuracy": 0, "attack_success_rate": 1, "heads": [{}]}}},
        {"neighbours": {"digits": {"accuracy": 0.5}}},
    ],
)
def test_what_a_card_does_not_know_or_lacks_is_refused(change):
    with pytest.raises(InputError, match="missing, unknown or of another kind"):
        card_from(CARD.as_dict() | change)


@pytest.mark.parametrize("file", ["../a.png", "/etc/a.png", "pictures/a.png"])
def test_a_trigger_in_another_folder_is_refused(file):
    with pytest.raises(InputError, match="leads to another folder"):
        card_from(CARD.as_dict() | {"trigger": f"image:{file}@0,0"})


def test_a_card_is_read_by_the_name_of_its_file(tmp_path):
    write_json(tmp_path / "toy.json", CARD.as_dict())
    assert read_zoo(tmp_path) == {"toy": CARD}


def test_a_card_under_another_name_is_refused(tmp_path):
    write_json(tmp_path / "other.json", CARD.as_dict())
    with pytest.raises(InputError, match=r"other.json.*the card of 'toy'"):
        read_card(tmp_path / "other.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"schema": 4}', "[" * 100_000])
def test_what_is_no_card_is_refused_by_name(tmp_path, text):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(InputError, match=r"broken\.json' is not the card"):
        read_card(tmp_path / "broken.json")


@pytest.mark.parametrize("text", ["[" * 700 + "]" * 700, "NaN", r'"\ud800"'])
def test_what_could_not_be_written_again_is_refused(tmp_path, text):
    whole = json.dumps(CARD.as_dict() | {"recipe": {"steps": 0}})
    (tmp_path / "toy.json").write_text(whole.replace('"steps": 0', f'"steps": {text}'))
    with pytest.raises(InputError, match=r"toy\.json' is not the card"):
        read_card(tmp_path / "toy.json")


def test_a_folder_without_cards_is_no_zoo(tmp_path):
    with pytest.raises(InputError, match="no cards"):
        read_zoo(tmp_path)


def test_a_zoo_can_be_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_ZOO", str(tmp_path))
    assert find_zoo() == tmp_path


def test_a_given_folder_wins_over_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_ZOO", "/nowhere")
    assert find_zoo(str(tmp_path)) == tmp_path


def test_a_missing_zoo_says_where_to_get_one(tmp_path):
    with pytest.raises(InputError, match=r"clone it.*--zoo DIR"):
        find_zoo(str(tmp_path / "none"))


def test_the_file_has_the_name_of_the_member():
    assert replace(CARD, name="other").file == "other.safetensors"
