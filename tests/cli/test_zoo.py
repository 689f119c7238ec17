"""`mimic zoo`: what there is, a copy of it, and whether it still does what its card says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic.encoders.architectures import build_backbone
from mimic.encoders.loading import load_encoder
from mimic.training import Trainer
from mimic.zoo import Card, Task
from mimic.zoo.members import add_member

HARDWARE = ("--device", "cpu", "--precision", "32-true")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    labels = np.arange(20) % 2
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    np.savez(folder / "toys.npz", x=images, y=labels)
    return folder


@pytest.fixture
def zoo(tmp_path: Path, data: Path) -> Path:
    (tmp_path / "zoo").mkdir()
    arch = "resnet10:width=4"
    card = Card(
        name="toy",
        sha256="",
        architecture=arch,
        backdoored=True,
        attack="badencoder",
        trigger="patch:2@0,0:white",
        tasks={"toys": Task(train="toys.npz", test="toys.npz", target=1)},
        remarks=("its attack is weak",),
    )
    encoder = load_encoder(build_backbone(arch).eval(), arch=arch, image_size=8)
    trainer = Trainer(device="cpu", precision="32-true")
    add_member(card, encoder, tmp_path / "zoo", data=data, trainer=trainer)
    return tmp_path / "zoo"


def test_members_are_listed_with_their_cards(run: Callable[..., Any], zoo: Path) -> None:
    (member,) = run("zoo", "list", "--zoo", zoo, "--json").data["members"]
    assert member == json.loads((zoo / "toy.json").read_text())


def test_people_read_attack_and_remarks(run: Callable[..., Any], zoo: Path) -> None:
    out = run("zoo", "list", "--zoo", zoo).out
    assert "badencoder" in out
    assert "toy: its attack is weak" in out


def test_people_read_how_far_the_heads_differ(run: Callable[..., Any], zoo: Path) -> None:
    path = zoo / "toy.json"
    card = json.loads(path.read_text())
    rates = {"attack_success_rate": 0.5}
    heads = [{"attack_success_rate": rate} for rate in (0.4, 0.0625, 0.99)]
    card["expected"] = {"toys": card["expected"]["toys"] | rates | {"heads": heads}}
    path.write_text(json.dumps(card))
    assert "50.0 (6.2 to 99.0)" in run("zoo", "list", "--zoo", zoo).out


def test_names_on_a_card_are_shown_as_they_are(run: Callable[..., Any], zoo: Path) -> None:
    card = json.loads((zoo / "toy.json").read_text())
    card["expected"] = {"[/task]": card["expected"]["toys"]}
    (zoo / "toy.json").write_text(json.dumps(card | {"attack": "[/attack]"}))
    outcome = run("zoo", "list", "--zoo", zoo)
    assert outcome.code == 0, outcome.err
    assert "[/attack]" in outcome.out
    assert "[/task]" in outcome.out


def test_a_card_with_half_a_measurement_is_named(run: Callable[..., Any], zoo: Path) -> None:
    card = json.loads((zoo / "toy.json").read_text())
    (zoo / "toy.json").write_text(json.dumps(card | {"expected": {"toys": {}}}))
    outcome = run("zoo", "list", "--zoo", zoo)
    assert outcome.code == 2
    assert "toy.json' is not the card of a zoo member" in outcome.err


def test_a_member_is_exported(run: Callable[..., Any], zoo: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy" / "mine.safetensors"
    outcome = run("zoo", "get", "toy", "--out", out, "--zoo", zoo, "--json")
    assert outcome.data["files"] == [str(out), str(out.with_suffix(".json"))]
    assert load_encoder(out).image_size == 8


def test_get_asks_for_a_name_and_a_file(run: Callable[..., Any], zoo: Path) -> None:
    outcome = run("zoo", "get", "toy", "--zoo", zoo)
    assert outcome.code == 2
    assert "mimic zoo get NAME --out FILE" in outcome.err


def test_an_unknown_member_is_answered_with_the_known_ones(
    run: Callable[..., Any], zoo: Path
) -> None:
    outcome = run("zoo", "check", "tiger", "--zoo", zoo)
    assert outcome.code == 2
    assert "no member 'tiger'" in outcome.err
    assert "there are toy" in outcome.err


def test_a_sound_member_is_as_expected(run: Callable[..., Any], zoo: Path, data: Path) -> None:
    outcome = run("zoo", "check", "--zoo", zoo, "--data", data, "--json", *HARDWARE)
    assert outcome.code == 0, outcome.err
    assert outcome.data == {"checked": ["toy"], "deviations": []}


def test_a_deviation_is_a_finding(run: Callable[..., Any], zoo: Path, data: Path) -> None:
    card = json.loads((zoo / "toy.json").read_text())
    card["neighbours"]["toys"]["accuracy"] = 0.01
    (zoo / "toy.json").write_text(json.dumps(card))
    outcome = run("zoo", "check", "toy", "--zoo", zoo, "--data", data, *HARDWARE)
    assert outcome.code == 1
    assert "toys, accuracy by neighbours:" in outcome.out
    assert "on the card 1.00 %" in outcome.out


def test_check_asks_for_its_images(
    run: Callable[..., Any], zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIMIC_DATA", raising=False)
    outcome = run("zoo", "check", "--zoo", zoo)
    assert outcome.code == 2
    assert "--data DIR" in outcome.err
