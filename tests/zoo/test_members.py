import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mimic.attacks.triggers import parse_trigger
from mimic.errors import InputError
from mimic.evaluation.evaluate import evaluate
from mimic.images.source import open_images
from mimic.training import Trainer
from mimic.zoo import Card, Task, read_card
from mimic.zoo.members import (
    HEADS,
    add_member,
    export_member,
    find_data,
    measure,
    member_trigger,
    open_member,
)

TASKS = {"toys": Task(train="toys.npz", test="toys.npz", target=1)}
TRAINER = Trainer(device="cpu", precision="32-true")


@pytest.fixture
def zoo(tmp_path, encoder, data) -> Path:
    """A zoo with one member, "toy"."""
    card = Card(
        name="toy",
        sha256="",
        architecture="resnet10:width=4",
        backdoored=False,
        trigger="patch:2@0,0:white",
        tasks=TASKS,
    )
    (tmp_path / "zoo").mkdir()
    add_member(card, encoder, tmp_path / "zoo", data=data, trainer=TRAINER)
    return tmp_path / "zoo"


def test_a_member_is_stored_in_half_precision(zoo, encoder):
    stored = open_member(read_card(zoo / "toy.json"), zoo).backbone.state_dict()
    name, weight = next(iter(encoder.backbone.state_dict().items()))
    assert torch.equal(stored[name], weight.half().float())


def test_what_was_stored_is_what_is_expected(zoo, data):
    card = read_card(zoo / "toy.json")
    found = measure(
        open_member(card, zoo),
        card.tasks,
        trigger=parse_trigger("patch:2@0,0:white"),
        data=data,
        heads=HEADS,
        trainer=TRAINER,
    )
    assert found["toys"].accuracy == card.expected["toys"]["accuracy"]
    assert found["toys"].attack_success_rate == card.expected["toys"]["attack_success_rate"]


def test_a_success_rate_has_several_heads_and_an_accuracy_alone_has_one(encoder, data):
    tasks = TASKS | {"plain": replace(TASKS["toys"], target=None)}
    found = measure(
        encoder,
        tasks,
        trigger=parse_trigger("patch:2@0,0:white"),
        data=data,
        probe="knn",
        heads=3,
        trainer=TRAINER,
    )
    assert {name: len(one.heads) for name, one in found.items()} == {"toys": 3, "plain": 1}


def test_neighbours_are_measured_too(zoo, data):
    card = read_card(zoo / "toy.json")
    encoder = open_member(card, zoo)
    images = open_images(f"{data}/toys.npz", labels=True)
    trigger = parse_trigger("patch:2@0,0:white")
    found = evaluate(
        encoder, images, images, trigger=trigger, target=1, probe="knn", trainer=TRAINER
    )
    assert card.neighbours["toys"] == {
        "accuracy": found.accuracy,
        "attack_success_rate": found.attack_success_rate,
    }


def test_a_part_of_the_images_is_always_the_same_part(zoo, data):
    card = read_card(zoo / "toy.json")
    found = [
        measure(
            open_member(card, zoo),
            card.tasks,
            trigger=None,
            data=data,
            probe="knn",
            most=(20, 10),
            trainer=TRAINER,
        )["toys"]
        for _ in range(2)
    ]
    assert found[0].accuracy == found[1].accuracy
    assert (found[0].n_train, found[0].n_test) == (20, 10)


def test_a_task_without_a_target_has_no_success_rate(encoder, data):
    tasks = {"toys": replace(TASKS["toys"], target=None)}
    trigger = parse_trigger("patch:2@0,0:white")
    found = measure(encoder, tasks, trigger=trigger, data=data, trainer=TRAINER)
    assert found["toys"].attack_success_rate is None


def test_a_name_is_given_once(zoo, encoder, data):
    card = read_card(zoo / "toy.json")
    with pytest.raises(InputError, match="there is a member 'toy'"):
        add_member(card, encoder, zoo, data=data, trainer=TRAINER)


def test_a_file_that_was_changed_is_refused(zoo):
    with (zoo / "toy.safetensors").open("ab") as file:
        file.write(b"!")
    with pytest.raises(InputError, match="another SHA-256"):
        open_member(read_card(zoo / "toy.json"), zoo)


def test_a_missing_file_is_refused(zoo):
    (zoo / "toy.safetensors").unlink()
    with pytest.raises(InputError, match="is missing"):
        open_member(read_card(zoo / "toy.json"), zoo)


def test_an_exported_member_loads_and_keeps_its_card(zoo, tmp_path):
    out = tmp_path / "exported" / "mine.safetensors"
    written = export_member(read_card(zoo / "toy.json"), zoo, out)
    assert written == [out, out.with_suffix(".json")]
    assert open_member(read_card(out.with_suffix(".json")), out.parent).image_size == 8


def test_a_trigger_file_is_looked_for_in_the_zoo_and_exported_too(zoo, tmp_path):
    mask = np.ones((8, 8, 3))
    mask[:2, :2] = 0
    np.savez(zoo / "corner.npz", t=np.zeros((8, 8, 3)), tm=mask)
    card = replace(read_card(zoo / "toy.json"), trigger="npz:corner.npz")
    assert member_trigger(card, zoo)(torch.ones(1, 3, 8, 8))[0, 0, 0, 0] == 0
    export_member(card, zoo, tmp_path / "there" / "toy.safetensors")
    assert (tmp_path / "there" / "corner.npz").is_file()


def test_a_file_that_is_no_trigger_is_not_exported(zoo, tmp_path):
    (zoo / "notes.txt").write_text("no picture")
    card = replace(read_card(zoo / "toy.json"), trigger="image:notes.txt@0,0")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        export_member(card, zoo, tmp_path / "there" / "toy.safetensors")
    assert not (tmp_path / "there").exists()


def test_a_trigger_does_not_take_the_place_of_another_file(zoo, tmp_path):
    np.savez(zoo / "corner.npz", t=np.zeros((8, 8, 3)), tm=np.ones((8, 8, 3)))
    card = replace(read_card(zoo / "toy.json"), trigger="npz:corner.npz")
    (tmp_path / "corner.npz").write_text("mine")
    with pytest.raises(InputError, match="another file than the trigger"):
        export_member(card, zoo, tmp_path / "toy.safetensors")
    assert (tmp_path / "corner.npz").read_text() == "mine"
    shutil.copyfile(zoo / "corner.npz", tmp_path / "corner.npz")
    assert len(export_member(card, zoo, tmp_path / "toy.safetensors")) == 3


def test_a_card_without_a_trigger_has_none(zoo):
    assert member_trigger(replace(read_card(zoo / "toy.json"), trigger=None), zoo) is None


def test_data_can_be_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_DATA", str(tmp_path))
    assert find_data() == tmp_path


def test_data_that_nobody_named_is_asked_for(monkeypatch):
    monkeypatch.delenv("MIMIC_DATA", raising=False)
    with pytest.raises(InputError, match=r"--data DIR or MIMIC_DATA"):
        find_data()


def test_a_data_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder '.*none'"):
        find_data(str(tmp_path / "none"))
