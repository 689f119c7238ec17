"""`mimic purify`: what it writes, what it refuses, and how it goes on."""

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from mimic.encoders.loading import load_encoder

HARDWARE = ("--device", "cpu", "--precision", "32-true")
Run = Callable[..., Any]
Purify = Callable[..., Any]


@pytest.fixture
def purify(run: Run, encoder_file: Path, pictures: Path, tmp_path: Path) -> Purify:
    """Purifies by the method that needs least time."""

    def call(*more: object, encoder: object = encoder_file, images: object = pictures) -> Any:
        return run(
            *("purify", encoder, "--images", images, "--out", tmp_path / "out", *HARDWARE),
            *("--method", "scratch", "--epochs", 3, *more),
        )

    return call


@contextmanager
def signalled_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process gets SIGTERM when that training step begins."""
    from mimic.training import trainer

    original, steps = trainer.seed_step, iter(range(1, 1_000))

    def seed_step(*arguments: Any) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "seed_step", seed_step)
        yield


@contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """Files end at that size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_writes_three_files_and_removes_the_checkpoints(purify: Purify, tmp_path: Path) -> None:
    assert purify().code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["encoder.safetensors", "manifest.json", "suspect.safetensors"]


def test_a_bare_file_gets_a_drop_in_with_the_same_content_around_it(
    purify: Purify, bare_file: Path, tmp_path: Path
) -> None:
    outcome = purify("--arch", "resnet10:width=2", "--image-size", 8, encoder=bare_file)
    assert outcome.code == 0, outcome.err
    before = torch.load(bare_file, weights_only=True)
    after = torch.load(tmp_path / "out" / "bare.pth", weights_only=True)
    assert after["epoch"] == 3
    assert after["state_dict"].keys() == before["state_dict"].keys()


def test_what_was_said_about_a_bare_file_is_kept(
    purify: Purify, bare_file: Path, tmp_path: Path
) -> None:
    purify(
        *("--arch", "resnet10:width=2", "--image-size", 8, "--stages", "layer2, layer4"),
        *("--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.25"),
        encoder=bare_file,
    )
    written = load_encoder(tmp_path / "out")
    assert written.mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert (written.image_size, written.stages) == (8, ("layer2", "layer4"))


def test_people_are_told_where_the_files_are(purify: Purify, tmp_path: Path) -> None:
    said = purify().out
    assert str(tmp_path / "out" / "suspect.safetensors") in said
    assert "mimic.load_encoder(" in said
    assert "undecided" in said


def test_broken_images_are_named_and_counted(purify: Purify, pictures: Path) -> None:
    (pictures / "broken.png").write_bytes(b"nothing")
    outcome = purify("--json")
    assert "skipped 1 image of" in outcome.err
    assert "broken.png" in outcome.err
    assert (outcome.data["images_used"], len(outcome.data["skipped"])) == (24, 1)


def test_a_setting_of_the_method_goes_into_the_manifest(purify: Purify, tmp_path: Path) -> None:
    assert purify("--set", "learning_rate=0.5").code == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"]["learning_rate"] == 0.5


def test_a_setting_that_the_method_lacks_is_refused(purify: Purify) -> None:
    outcome = purify("--set", "speed=2")
    assert outcome.code == 2
    assert "with one of batch_size, learning_rate" in outcome.error


def test_a_finished_result_of_other_settings_is_not_overwritten(
    purify: Purify, tmp_path: Path
) -> None:
    purify()
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    outcome = purify("--seed", 5)
    assert outcome.code == 2
    assert "seed 0 instead of 5" in outcome.error
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_resuming_a_finished_result_repeats_its_report(purify: Purify) -> None:
    first = purify("--json").data
    outcome = purify("--json", "--resume")
    assert outcome.data == first
    assert "nothing was done" in outcome.err


def test_resuming_makes_a_damaged_result_anew(purify: Purify, tmp_path: Path) -> None:
    first = purify("--json").data
    (tmp_path / "out" / "encoder.safetensors").write_bytes(b"damaged")
    assert purify("--json", "--resume").data["sha256"] == first["sha256"]


def test_a_folder_with_a_manifest_of_somebody_else_is_refused(
    purify: Purify, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({"name": "my app"}))
    outcome = purify()
    assert (outcome.code, "not of 'mimic purify'" in outcome.error) == (2, True)


def test_the_file_that_came_in_is_never_overwritten(run: Run, encoder_file: Path) -> None:
    before = encoder_file.read_bytes()
    outcome = run("purify", encoder_file, "--images", "digits", "--out", encoder_file.parent)
    assert (outcome.code, "would overwrite" in outcome.error) == (2, True)
    assert encoder_file.read_bytes() == before


def test_an_interrupted_run_says_how_to_go_on(
    purify: Purify, monkeypatch: pytest.MonkeyPatch
) -> None:
    with signalled_at(2, monkeypatch):
        outcome = purify("--json")
    assert (outcome.code, outcome.out) == (130, "")
    assert "--resume continues" in outcome.error


def test_a_resumed_run_gives_the_file_of_an_uninterrupted_one(
    run: Run, purify: Purify, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with signalled_at(2, monkeypatch):
        purify()
    assert list((tmp_path / "out" / "checkpoints").glob("*.ckpt"))
    resumed = purify("--resume", "--json").data
    whole = purify("--json", "--out", tmp_path / "whole").data
    assert resumed["sha256"] == whole["sha256"]


def test_a_run_is_not_resumed_with_other_settings(
    purify: Purify, monkeypatch: pytest.MonkeyPatch
) -> None:
    with signalled_at(2, monkeypatch):
        purify()
    outcome = purify("--resume", "--epochs", 4)
    assert (outcome.code, "epochs 3 instead of 4" in outcome.error) == (2, True)


def test_a_full_disk_leaves_nothing_behind(purify: Purify, tmp_path: Path) -> None:
    with full_disk(5_000):
        outcome = purify()
    assert (outcome.code, "the disk is full" in outcome.error) == (3, True)
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_full_at_the_end_keeps_what_was_learned(
    purify: Purify, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("mimic.encoders.export.write_json", fail)
        outcome = purify()
    assert (outcome.code, "No space left" in outcome.error) == (3, True)
    assert (tmp_path / "out" / "checkpoints" / "scratch.ckpt").exists()


def test_an_output_below_a_file_is_refused_before_any_training(
    purify: Purify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimic.training.trainer.Trainer.fit", None)
    (tmp_path / "file").write_text("")
    outcome = purify("--out", tmp_path / "file" / "out")
    assert (outcome.code, "cannot write" in outcome.error) == (2, True)
