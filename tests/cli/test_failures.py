"""What users hand in by mistake: one sentence, exit code 2, nothing on standard output."""

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

HARDWARE = ("--device", "cpu", "--precision", "32-true")
Run = Callable[..., Any]


@pytest.fixture
def purify(run: Run, encoder_file: Path, pictures: Path, tmp_path: Path) -> Callable[..., Any]:
    def call(*more: object, encoder: object = encoder_file, images: object = pictures) -> Any:
        return run(
            *("purify", encoder, "--images", images, "--out", tmp_path / "out", "--json"),
            *("--method", "scratch", "--epochs", 1, *HARDWARE, *more),
        )

    return call


def save_noise(folder: Path, count: int, *sizes: tuple[int, int]) -> Path:
    folder.mkdir()
    for index in range(count):
        pixels = np.full((*sizes[index % len(sizes)], 3), index, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def assert_refused(outcome: Any, reason: str) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    assert reason in outcome.error


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_a_text_file_is_no_encoder(purify: Run, tmp_path: Path) -> None:
    path = tmp_path / "text.pth"
    path.write_text("hello")
    assert_refused(purify(encoder=path), "text.pth")


def test_a_pickle_with_code_is_refused_and_not_run(purify: Run, tmp_path: Path) -> None:
    path, marker = tmp_path / "bomb.pth", tmp_path / "exploded"
    path.write_bytes(pickle.dumps({"state_dict": Bomb(marker)}))
    assert_refused(purify(encoder=path), "bomb.pth")
    assert not marker.exists()


def test_a_checkpoint_of_another_architecture_is_refused(purify: Run, bare_file: Path) -> None:
    assert_refused(purify("--arch", "resnet50", encoder=bare_file), "bare.pth")


def test_a_bare_file_without_an_architecture_is_told_what_to_say(
    purify: Run, bare_file: Path
) -> None:
    assert_refused(purify(encoder=bare_file), "--arch")


def test_a_missing_encoder_is_named(purify: Run, tmp_path: Path) -> None:
    assert_refused(purify(encoder=tmp_path / "no.pth"), "no.pth")


def test_a_library_that_is_not_installed_is_named(
    purify: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert_refused(purify(encoder="timm:resnet18"), "mimic-purify[hub]")


def test_an_empty_folder_holds_no_images(purify: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(purify(images=tmp_path / "empty"), "holds no images")
    assert not (tmp_path / "out").exists()


def test_ten_images_are_too_few(purify: Run, tmp_path: Path) -> None:
    assert_refused(purify(images=save_noise(tmp_path / "ten", 10, (8, 8))), "at least 16")


def test_images_of_mixed_sizes_are_fine(purify: Run, tmp_path: Path) -> None:
    images = save_noise(tmp_path / "mixed", 20, (8, 8), (9, 12), (30, 20))
    assert purify(images=images).data["images_used"] == 20


def test_a_ratio_of_zero_is_out_of_range(purify: Run) -> None:
    assert_refused(purify("--ratio", 0), "above 0")


def test_ratio_and_count_exclude_each_other(purify: Run) -> None:
    assert_refused(purify("--ratio", 0.5, "--count", 20), "not both")


def test_an_unknown_method_is_answered_with_the_nearest_one(purify: Run) -> None:
    assert_refused(purify("--method", "magic"), "did you mean 'mimic'")


def test_an_unknown_device_is_refused(purify: Run) -> None:
    assert_refused(purify("--device", "abacus"), "abacus")


def test_a_mean_of_two_numbers_is_refused(purify: Run) -> None:
    assert_refused(purify("--mean", "0.5,0.5"), "--mean '0.5,0.5'")


@pytest.mark.parametrize("seed", ["-1", "1.5", "9" * 23, "9" * 5000, str(2**31)])
def test_a_seed_that_no_library_takes_is_refused(purify: Run, seed: str) -> None:
    outcome = purify(f"--seed={seed}")
    assert (outcome.code, outcome.out) == (2, "")
    assert "from 0 to 2147483647" in " ".join(outcome.err.split())


@pytest.mark.parametrize("name", ["README.md", "report.json", "encoder.safetensors"])
def test_a_file_of_somebody_else_in_the_folder_is_not_overwritten(
    purify: Run, tmp_path: Path, name: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    assert_refused(purify(), f"holds '{name}'")
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_a_folder_of_checkpoints_of_somebody_else_stays(purify: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text('{"editor": "theme"}')
    (folder / "epoch100.pth").write_text("mine")
    assert_refused(purify(), "holds something else")
    assert (folder / "epoch100.pth").exists()


def test_a_cut_manifest_is_not_of_a_purification(purify: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text('{"settings": {"command": "purify"}, "report": {"attempts": ["x"]}}')
    assert_refused(purify("--resume"), "not of 'mimic purify'")


def test_names_in_a_file_do_not_steer_the_terminal(purify: Run, tmp_path: Path) -> None:
    torch.save({"\x1b]0;pwned\x07x": torch.ones(1)}, tmp_path / "names.pth")
    outcome = purify("--arch", "resnet10:width=2", encoder=tmp_path / "names.pth")
    assert_refused(outcome, r"\x1b]0;pwned\x07x")
    assert "\x1b" not in outcome.err


def test_an_encoder_is_not_pretrained_without_a_network(run: Run, tmp_path: Path) -> None:
    outcome = run("pretrain", "--images", "digits", "--out", tmp_path / "a.safetensors")
    assert_refused(outcome, "--arch")


def test_encoders_are_written_as_safetensors(run: Run, tmp_path: Path) -> None:
    outcome = run(
        *("pretrain", "--images", "digits", "--arch", "resnet10", "--out", tmp_path / "a.pth")
    )
    assert_refused(outcome, ".safetensors")


def test_an_unknown_attack_is_answered_with_the_known_ones(run: Run, tmp_path: Path) -> None:
    outcome = run(
        *("attack", "magic", "--encoder", "a", "--images", "b", "--reference", "c"),
        *("--trigger", "d", "--out", tmp_path / "e.safetensors"),
    )
    assert_refused(outcome, "badencoder")


def test_an_attack_does_not_overwrite_its_input(run: Run, encoder_file: Path) -> None:
    outcome = run(
        *("attack", "badencoder", "--encoder", encoder_file, "--images", "digits"),
        *("--reference", "digits#0", "--trigger", "patch:2@0,0", "--out", encoder_file),
    )
    assert_refused(outcome, "would overwrite")


@pytest.mark.parametrize(("target", "reason"), [("cat", "'cat'"), ("77", "77")])
def test_a_target_that_does_not_exist_is_named(
    run: Run, encoder_file: Path, target: str, reason: str
) -> None:
    outcome = run(
        *("evaluate", encoder_file, "--train", "digits:train", "--test", "digits:test"),
        *("--trigger", "patch:2@0,0", "--target", target, "--probe", "knn", *HARDWARE),
    )
    assert_refused(outcome, reason)


def test_a_trigger_without_a_target_is_refused(run: Run, encoder_file: Path) -> None:
    outcome = run(
        *("evaluate", encoder_file, "--train", "digits:train", "--test", "digits:test"),
        *("--trigger", "patch:2@0,0", *HARDWARE),
    )
    assert_refused(outcome, "without a target")
