"""Scenarios: from the zoo or from a file, with tasks of the card or one's own."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mimic.benchmark.scenario import Scenario, read_scenario
from mimic.errors import InputError, RunError
from mimic.files import sha256, write_json
from mimic.zoo import Card, Task

from .support import ARCH, evaluation

TASK = Task(train="digits:train", test="digits:test", target=3)
GIVEN = {"digits": {"train": "digits:train", "test": "digits:test"}}


def add(zoo: Path, name: str, source: Path, **changes: Any) -> Card:
    """A member of a zoo with the file of another encoder."""
    zoo.mkdir(exist_ok=True)
    shutil.copyfile(source, zoo / f"{name}.safetensors")
    card = Card(
        name=name,
        sha256=sha256(source),
        architecture=ARCH,
        backdoored=True,
        attack="badencoder",
        trigger="patch:3@0,0:white",
        tasks={"digits": TASK, "again": TASK},
        expected={"digits": evaluation(probe="mlp")},
        recipe={"attack": {"encoder": "clean.safetensors"}},
    )
    card = replace(card, **changes)
    write_json(zoo / f"{name}.json", card.as_dict())
    return card


@pytest.fixture
def zoo(folder, monkeypatch) -> Path:
    """A zoo of a clean member and of an attacked one."""
    source = folder / "suspect.safetensors"
    add(folder / "zoo", "bad", source)
    clean = {"backdoored": False, "attack": None, "recipe": {}}
    add(folder / "zoo", "clean", source, **clean)
    monkeypatch.setenv("MIMIC_ZOO", str(folder / "zoo"))
    return folder / "zoo"


def read(home: Path, data: Path | None = None, **table: Any) -> Scenario:
    return read_scenario({"images": "digits:train"} | table, "scenario 1", home=home, data=data)


def test_a_member_brings_its_tasks_and_its_trigger(folder, zoo):
    scenario = read(folder, member="bad")
    scenario.check()
    assert (scenario.name, scenario.card.trigger) == ("bad", "patch:3@0,0:white")
    assert scenario.encoder == zoo / "bad.safetensors"
    assert set(scenario.tasks) == {"digits", "again"}


def test_the_encoder_that_was_attacked_is_found_beside_it(folder, zoo):
    assert read(folder, member="bad").origin == zoo / "clean.safetensors"
    assert read(folder, member="clean").origin is None


def test_a_clean_encoder_that_is_not_the_one_of_its_card_is_no_origin(folder, zoo):
    (zoo / "clean.safetensors").write_bytes(b"another one")
    assert read(folder, member="bad").origin is None
    (zoo / "clean.safetensors").unlink()
    assert read(folder, member="bad").origin is None


def test_a_file_with_a_card_beside_it_is_like_a_member(folder, zoo):
    scenario = read(folder, encoder="zoo/bad.safetensors", name="mine")
    assert (scenario.name, scenario.card.attack) == ("mine", "badencoder")


def test_a_card_can_lie_elsewhere(folder, zoo):
    shutil.move(zoo / "bad.json", folder / "bad.json")
    scenario = read(folder, encoder="zoo/bad.safetensors", card="bad.json")
    assert scenario.card.name == "bad"


def test_tasks_can_be_chosen_from_the_card(folder, zoo):
    assert set(read(folder, member="bad", tasks=["again"]).tasks) == {"again"}


def test_tasks_can_be_given(folder, zoo):
    scenario = read(folder, member="bad", tasks={"digits": GIVEN["digits"] | {"target": 1}})
    assert scenario.tasks["digits"].target == 1


def test_controls_are_what_the_cards_expect(folder, zoo):
    controls = read(folder, member="bad").controls
    assert set(controls) == {"suspect", "clean"}
    assert controls["suspect"]["digits"]["mlp"].attack_success_rate == 0.25


def test_a_clean_encoder_is_found_by_its_digest_too(folder, zoo):
    digest = sha256(folder / "suspect.safetensors")
    add(zoo, "bad", folder / "suspect.safetensors", recipe={"attack": {"encoder_sha256": digest}})
    assert "clean" in read(folder, member="bad").controls


def test_a_success_rate_of_another_trigger_is_no_control(folder, zoo):
    add(
        zoo,
        "clean",
        folder / "suspect.safetensors",
        backdoored=False,
        attack=None,
        trigger="patch:1@0,0:white",
    )
    found = read(folder, member="bad").controls["clean"]["digits"]["mlp"]
    assert (found.accuracy, found.attack_success_rate, found.n_triggered) == (0.5, None, None)


def test_a_control_with_a_rate_that_cannot_be_is_refused(folder, zoo):
    said = {"digits": evaluation(probe="mlp", attack_success_rate_all=7.0)}
    add(zoo, "clean", folder / "suspect.safetensors", backdoored=False, expected=said, recipe={})
    with pytest.raises(InputError, match=r"card 'clean' expects on digits has the rate 7\.0"):
        read(folder, member="bad")


def test_other_images_of_a_task_have_no_control(folder, zoo):
    tasks = {"digits": {"train": "digits:all", "test": "digits:test"}}
    assert read(folder, member="bad", tasks=tasks).controls == {}


def test_images_are_looked_for_in_the_folder_of_the_data_first(folder, tmp_path):
    data = tmp_path / "data"
    for place in (data, folder):
        (place / "toys").mkdir(parents=True)
    scenario = read(folder, data, encoder="suspect.safetensors", tasks=GIVEN)
    assert scenario.locate("toys:train") == str(data / "toys:train")
    assert scenario.locate("digits:train") == "digits:train"


def test_a_changed_file_is_refused(folder, zoo):
    scenario = read(folder, member="bad")
    with scenario.encoder.open("ab") as file:
        file.write(b"!")
    with pytest.raises(InputError, match="another SHA-256"):
        scenario.check()


def test_a_missing_file_is_named(folder, zoo):
    scenario = read(folder, member="bad")
    scenario.encoder.unlink()
    with pytest.raises(InputError, match=r"no file '.*bad\.safetensors'"):
        scenario.check()


def test_images_that_cannot_be_downloaded_are_told_before_a_cell_runs(folder, zoo, monkeypatch):
    def fail(name: str, *_: object, **__: object) -> None:
        if name == "stl10":
            raise RunError("cannot download 'stl10': no connection")

    monkeypatch.setattr("mimic.images.source.named_pictures", fail)
    with pytest.raises(InputError, match=r"'stl10:train'.*no connection.*MIMIC_DATA"):
        read(folder, member="bad", images="stl10:train").check()


def test_images_that_are_nowhere_are_named(folder, zoo):
    with pytest.raises(InputError, match=r"no images 'cats:train' in .*MIMIC_DATA"):
        read(folder, member="bad", images="cats:train").check()


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ("patch", "trigger 'patch' is not understood"),
        ("image:none.png@0,0", r"there is no file '.*none\.png'"),
        ("npz:suspect.safetensors", r"suspect\.safetensors' cannot be read as an \.npz"),
    ],
)
def test_a_trigger_that_cannot_be_read_is_named(folder, trigger, message):
    scenario = read(folder, encoder="suspect.safetensors", tasks=GIVEN, trigger=trigger)
    with pytest.raises(InputError, match=f"scenario 'suspect': .*{message}"):
        scenario.check()


def test_a_file_of_a_trigger_may_lie_in_a_folder_beside_the_configuration(folder):
    (folder / "pictures").mkdir()
    Image.new("RGB", (2, 2)).save(folder / "pictures" / "a.png")
    trigger = "image:pictures/a.png@0,0"
    read(folder, encoder="suspect.safetensors", tasks=GIVEN, trigger=trigger).check()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"member": "bda"}, r"member 'bda' of scenario 1 is unknown; did you mean 'bad'\?"),
        ({"member": "bad", "encoder": "a.pth"}, "either a member of the zoo or an encoder"),
        ({}, "either a member of the zoo or an encoder"),
        ({"member": "bad", "image": "digits"}, r"did you mean 'images'\?"),
        ({"member": "bad", "tasks": ["digit"]}, r"did you mean 'digits'\?"),
        ({"member": "bad", "tasks": []}, "no tasks"),
        (
            {"member": "bad", "tasks": {"digits": {"train": "a"}}},
            "task 'digits' of scenario 1 lacks test",
        ),
        ({"member": "bad", "trigger": "patch:1@0,0"}, "has a trigger, but its card says that"),
        ({"member": "bad", "name": "a\x1b[1m"}, "cannot be shown"),
        ({"encoder": "none.safetensors", "tasks": GIVEN}, r"no file '.*none\.safetensors'"),
        ({"encoder": "suspect.safetensors"}, "its tasks must be given"),
        (
            {"encoder": "suspect.safetensors", "card": "none.json"},
            "is not the card of a zoo member",
        ),
    ],
)
def test_what_is_wrong_is_named(folder, zoo, table, message):
    with pytest.raises(InputError, match=message):
        read(folder, **table)
