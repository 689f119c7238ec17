"""`mimic attack`: the files it writes, and how options become settings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mimic.files import sha256
from mimic.pretraining.simclr import SimClrObjective

HARDWARE = ("--device", "cpu", "--precision", "32-true")


def test_a_bare_file_gets_a_drop_in_beside_the_result(
    run: Callable[..., Any], bare_file: Path, pictures: Path, tmp_path: Path
) -> None:
    data = run(
        *("attack", "badencoder", "--encoder", bare_file, "--arch", "resnet10:width=2"),
        *("--image-size", 8, "--images", pictures, "--reference", f"{pictures}#2", "--epochs", 1),
        *("--trigger", "patch:2@0,0", "--out", tmp_path / "bad.safetensors", "--json", *HARDWARE),
    ).data
    assert data["drop_in"] == str(tmp_path / "bad.pth")
    assert data["drop_in_sha256"] == sha256(tmp_path / "bad.pth")
    assert torch.load(tmp_path / "bad.pth", weights_only=True)["epoch"] == 3
    assert not (tmp_path / "bad.safetensors.run").exists()


def test_a_file_beside_the_result_that_no_attack_left_is_not_overwritten(
    run: Callable[..., Any], bare_file: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.pth").write_text("mine")
    outcome = run(
        *("attack", "badencoder", "--encoder", bare_file, "--arch", "resnet10:width=2"),
        *("--image-size", 8, "--images", pictures, "--reference", f"{pictures}#2", "--epochs", 1),
        *("--trigger", "patch:2@0,0", "--out", tmp_path / "bad.safetensors", "--json", *HARDWARE),
    )
    assert (outcome.code, (tmp_path / "bad.pth").read_text()) == (2, "mine")
    assert "choose another --out" in outcome.error


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Forty labelled images of two classes."""
    labels = np.arange(40) % 2
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "classes.npz", x=pixels, y=labels)
    return tmp_path / "classes.npz"


@pytest.fixture
def attack(run: Callable[..., Any], encoder_file: Path, classes: Path, tmp_path: Path) -> Any:
    """Runs one attack on the labelled images."""

    def call(name: str, *options: Any) -> Any:
        out = tmp_path / "bad.safetensors"
        return run(
            *("attack", name, "--encoder", encoder_file, "--images", classes, "--out", out),
            *options,
            *("--epochs", 1, "--json", *HARDWARE),
        )

    return call


def test_a_poisoning_attack_knows_its_target_by_label(attack: Any, tmp_path: Path) -> None:
    outcome = attack(
        *("ssl-backdoor", "--target", 1, "--trigger", "patch:3@random", "--set", "rate=0.25"),
        *("--poisoned", tmp_path / "poisoned.npz", "--batch-size", 20),
    )
    assert outcome.code == 0, outcome.err
    manifest = json.loads((tmp_path / "poisoned.manifest.json").read_text())
    assert len(manifest["poisoned"]) == 5
    assert all(position % 2 == 1 for position in manifest["poisoned"])
    assert "triggered_to_reference" in outcome.data["sanity"]


def test_a_place_for_poisoned_images_is_refused_before_the_training(
    attack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimClrObjective, "forward", None)  # no step can be made
    (tmp_path / "poisoned").mkdir()
    (tmp_path / "poisoned" / "mine.png").touch()
    outcome = attack(
        *("ssl-backdoor", "--target", 1, "--trigger", "patch:3@random", "--set", "rate=0.25"),
        *("--poisoned", tmp_path / "poisoned", "--batch-size", 20),
    )
    assert (outcome.code, "holds something already" in outcome.error) == (2, True)


def test_the_victim_trains_as_asked(attack: Any, tmp_path: Path) -> None:
    outcome = attack(
        *("ctrl", "--target", 1, "--trigger", "ctrl:50@8", "--set", "rate=0.1"),
        *("--method", "simsiam", "--set", "min_scale=0.5", "--batch-size", 20),
        *("--poisoned", tmp_path / "poisoned.npz"),
    )
    assert outcome.code == 0, outcome.err
    manifest = json.loads((tmp_path / "poisoned.manifest.json").read_text())
    victim = manifest["settings"]["pretraining"]
    assert (victim["method"], victim["min_scale"]) == ("simsiam", 0.5)


def test_several_targets_have_a_trigger_and_a_reference_each(attack: Any, classes: Path) -> None:
    outcome = attack(
        *("badencoder", "--trigger", "patch:2@0,0", "--trigger", "patch:2@6,6"),
        *("--reference", f"{classes}#0", "--reference", f"{classes}#1"),
    )
    assert outcome.code == 0, outcome.err
    assert outcome.data["triggers"] == ["patch:2@0,0:white", "patch:2@6,6:white"]


def test_a_reference_that_a_clean_head_takes_for_another_class_is_warned_of(
    attack: Any, run: Callable[..., Any], tmp_path: Path
) -> None:
    labels = np.arange(40) % 2
    shades = np.broadcast_to((255 * labels).astype(np.uint8)[:, None, None, None], (40, 8, 8, 3))
    np.savez(tmp_path / "shades.npz", x=shades, y=labels)
    outcome = attack(
        *("badencoder", "--trigger", "patch:2@0,0", "--reference", f"{tmp_path / 'shades.npz'}#0"),
        *("--train", tmp_path / "shades.npz", "--target", 1),
    )
    assert outcome.code == 0, outcome.err
    assert "takes reference 0 for class '0', not for '1'" in outcome.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("ctrl", "--trigger", "ctrl:50@8"), "attack 'ctrl' needs --target LABEL"),
        (("badencoder",), "needs --reference REF and --trigger TRIG"),
        (("ctrl", "--target", 1, "--trigger", "ctrl:50@8", "--reference", "x.png"), "x.png"),
        (("ctrl", "--target", 7, "--trigger", "ctrl:50@8"), "of class 7; there are [0, 1]"),
        (("ctrl", "--target", 1, "--trigger", "ctrl:50@8", "--set", "rate"), "FIELD=VALUE"),
        (("ctrl", "--target", 1, "--trigger", "ctrl:50@8", "--set", "rate=no"), "not a number"),
        (("ctrl", "--target", 1, "--trigger", "ctrl:50@8", "--set", "rate=0"), "rate of CTRL"),
        (("ctrl", "--target", 1, "--trigger", "ctrl:50@8", "--set", "rate=0.9"), "0.9"),
        (("ctrl", "--target", 1, "--trigger", "ctrl:50@8", "--method", "magic"), "simclr"),
        (("nothing",), "there are badencoder, drupe"),
        (("badencoder", "--poisoned", "x.npz"), "poisons no images; leave --poisoned out"),
    ],
)
def test_wrong_use_is_explained(attack: Any, options: tuple[Any, ...], sentence: str) -> None:
    outcome = attack(*options)
    assert outcome.code == 2
    assert sentence in outcome.err


def test_an_option_that_an_attack_has_no_use_for_is_refused(attack: Any, classes: Path) -> None:
    outcome = attack(
        *("ctrl", "--target", 1, "--trigger", "ctrl:50@8", "--reference", f"{classes}#0")
    )
    assert outcome.code == 2
    assert "attack 'ctrl' has no use for --reference" in outcome.err
