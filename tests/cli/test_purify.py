"""`mimic purify`: what it writes, what it refuses, and how it goes on."""

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mimic.cli.finished import recorded_defense
from mimic.defenses import DEFENSES, Defense, Mimic
from mimic.detection import families
from mimic.detection import scan as scanning
from mimic.detection.calibration import Calibration
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError
from mimic.pretraining.simclr import SimClrObjective
from mimic.verification.canary import Canary, Pull
from mimic.verification.rule import Decision

from ..searches import shorten_searches
from .conftest import save_pictures

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
    original, steps = SimClrObjective.forward, iter(range(1, 1_000))

    def forward(self: SimClrObjective, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(SimClrObjective, "forward", forward)
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


def test_writes_encoders_reports_and_a_card_and_removes_the_checkpoints(
    purify: Purify, tmp_path: Path
) -> None:
    assert purify().code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        *("README.md", "encoder.safetensors", "manifest.json", "report.html", "report.json"),
        "suspect.safetensors",
    ]


def test_a_bare_file_gets_a_drop_in_with_the_same_content_around_it(
    purify: Purify, bare_file: Path, tmp_path: Path
) -> None:
    outcome = purify("--arch", "resnet10:width=2", "--image-size", 8, encoder=bare_file)
    assert outcome.code == 0, outcome.err
    assert "--mean and --std" in outcome.err
    before = torch.load(bare_file, weights_only=True)
    after = torch.load(tmp_path / "out" / "bare.pth", weights_only=True)
    assert after["epoch"] == 3
    assert after["state_dict"].keys() == before["state_dict"].keys()


def test_an_encoder_of_the_file_that_stays_as_it_came_in_is_a_warning(
    purify: Purify, bare_file: Path, tmp_path: Path
) -> None:
    state = torch.load(bare_file, weights_only=True)["state_dict"]
    copy = {name: tensor.clone() for name, tensor in state.items()}
    torch.save({"model": state, "ema": copy}, tmp_path / "two.pth")
    outcome = purify(
        *("--arch", "resnet10:width=2", "--image-size", 8, "--json"), encoder=tmp_path / "two.pth"
    )
    assert outcome.data["others"] == ["ema: (no prefix)"]
    assert "warning: " in outcome.err
    assert "'ema: (no prefix)'" in outcome.err
    assert "which is not purified" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_what_was_said_about_a_bare_file_is_kept(
    purify: Purify, bare_file: Path, tmp_path: Path
) -> None:
    outcome = purify(
        *("--arch", "resnet10:width=2", "--image-size", 8, "--stages", "layer2, layer4"),
        *("--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.25"),
        encoder=bare_file,
    )
    assert "normalised" not in outcome.err
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


def test_a_folder_is_not_finished_before_its_report_is_there(
    purify: Purify, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mimic.report.dossier.write_purification_report", interrupt)
        assert purify().code == 130
    assert not (tmp_path / "out" / "manifest.json").exists()
    resumed = purify("--resume", "--json").data
    assert Path(resumed["report"]).exists()


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


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification with patches alone, quickly."""
    shorten_searches(monkeypatch, population=32, rounds=1, judged_on=8)
    monkeypatch.setattr(scanning, "FAMILIES", {"patch": families.search_patch})
    known = Calibration(kind="made up", values={"patch": (0.0, 0.1, 0.2)})
    monkeypatch.setattr(scanning, "shipped_calibration", lambda: known)


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verdicts of the verifications to come, one after the other."""
    coming: list[str] = []

    def verify(*_: Any, **__: Any) -> SimpleNamespace:
        decision = Decision(verdict=coming.pop(0), reasons=("so it is",), thresholds={})
        return SimpleNamespace(decision=decision, scan_before=None, as_dict=dict)

    def report(*_: Any, **__: Any) -> dict[str, None]:
        return dict.fromkeys(("report", "facts", "card"))

    monkeypatch.setattr("mimic.verification.attempts.verify", verify)
    monkeypatch.setattr("mimic.report.dossier.write_purification_report", report)
    return coming


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Images enough to verify with."""
    return save_pictures(tmp_path / "many", 128)


@pytest.mark.usefixtures("hasty")
def test_a_purification_is_verified_at_its_end(purify: Purify, many: Path, tmp_path: Path) -> None:
    outcome = purify("--json", images=many)
    found = outcome.data["verification"]
    assert {"old_doors", "scan_before", "scan_after", "utility", "mean_cosine"} <= set(found)
    assert (found["images_used"], found["seen"]) == (128, True)
    assert "images that it was purified with" in found["reasons"][-1]
    assert "verifying with 128 images" in outcome.err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["report"]["verification"] == found


@pytest.mark.usefixtures("hasty")
def test_the_report_says_how_it_was_made(purify: Purify, many: Path) -> None:
    data = purify("--json", images=many).data
    facts = Path(data["facts"]).read_text()
    assert "mimic purify" in facts
    assert data["sha256"] in facts
    assert "<html" in Path(data["report"]).read_text()
    assert data["sha256"] in Path(data["card"]).read_text()


def test_a_student_of_another_architecture_is_refused_by_a_method_without_one(
    purify: Purify,
) -> None:
    outcome = purify("--student", "resnet10:width=4")
    assert (outcome.code, "'scratch' trains no student" in outcome.error) == (2, True)


@pytest.mark.usefixtures("hasty")
def test_other_images_may_judge(purify: Purify, many: Path) -> None:
    found = purify("--json", "--verify-images", many).data["verification"]
    assert (found["images"], found["images_used"], found["seen"]) == (str(many), 128, False)
    assert not any("purified with" in reason for reason in found["reasons"])


def test_few_images_leave_the_verdict_open(purify: Purify) -> None:
    outcome = purify("--json")
    assert outcome.code == 0
    assert outcome.data["verification"]["verdict"] == "undecided"
    assert "24 images are too few" in outcome.data["verification"]["reasons"][0]


def test_the_verification_can_be_left_out(
    purify: Purify, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimic.verification.attempts.verify", None)
    found = purify("--no-verify", "--json", images=many).data["verification"]
    assert (found["verdict"], "mimic verify" in found["reasons"][0]) == ("undecided", True)


@pytest.mark.parametrize(
    ("verdict", "code"), [("accepted", 0), ("undecided", 0), ("not_accepted", 1)]
)
def test_the_exit_code_is_1_where_the_verdict_is_against_it(
    purify: Purify, many: Path, verdicts: list[str], verdict: str, code: int
) -> None:
    verdicts.append(verdict)
    outcome = purify(images=many)
    assert (outcome.code, f"Verdict: {verdict.replace('_', ' ')}." in outcome.out) == (code, True)
    assert purify("--resume", images=many).code == code


def test_it_is_purified_again_until_it_is_accepted(
    purify: Purify, many: Path, verdicts: list[str]
) -> None:
    verdicts += ["not_accepted", "accepted", "accepted"]
    outcome = purify("--until-accepted", 3, "--json", images=many)
    attempts = outcome.data["attempts"]
    assert [attempt["verdict"] for attempt in attempts] == ["not_accepted", "accepted"]
    assert [attempt["settings"]["seed"] for attempt in attempts] == [0, 1]
    assert (outcome.code, outcome.data["seed"], len(verdicts)) == (0, 1, 1)
    assert "attempt 1 is not accepted: so it is" in outcome.err


def test_the_encoder_of_the_last_attempt_is_written(
    purify: Purify, many: Path, verdicts: list[str], tmp_path: Path
) -> None:
    verdicts += ["not_accepted", "accepted", "accepted"]
    again = purify("--until-accepted", 2, "--json", images=many).data
    alone = purify("--seed", 1, "--json", "--out", tmp_path / "alone", images=many).data
    assert again["sha256"] == alone["sha256"]


def test_an_interrupted_verification_does_not_repeat_the_training(
    purify: Purify, many: Path, verdicts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    verdicts += ["accepted", "accepted"]
    with monkeypatch.context() as patched:
        patched.setattr("mimic.verification.attempts.verify", interrupt)
        outcome = purify("--json", images=many)
    assert (outcome.code, "--resume continues without training" in outcome.error) == (130, True)
    assert not (tmp_path / "out" / "manifest.json").exists()
    with monkeypatch.context() as patched:
        patched.setattr(SimClrObjective, "forward", None)  # no step can be made
        resumed = purify("--resume", "--json", images=many)
    whole = purify("--json", "--out", tmp_path / "whole", images=many)
    assert resumed.data["sha256"] == whole.data["sha256"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--until-accepted", 0), "--until-accepted must be 1 or more, not 0"),
        (("--no-verify", "--until-accepted", 2), "leave --no-verify out"),
        (("--no-verify", "--verify-images", "digits"), "leave --no-verify out"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    purify: Purify, options: tuple[object, ...], message: str
) -> None:
    outcome = purify(*options)
    assert (outcome.code, message in outcome.error) == (2, True)


def test_too_few_images_to_verify_with_are_refused_before_any_training(
    purify: Purify, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimic.training.trainer.Trainer.fit", None)
    outcome = purify("--verify-images", pictures)
    assert (outcome.code, "gives 24 images; 128 or more are needed" in outcome.error) == (2, True)


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest with these settings of a method."""

    def write(method: str, **settings: Any) -> Path:
        attempts = [{"settings": settings, "verdict": "undecided", "reasons": []}]
        said = {
            "settings": {"command": "purify", "method": method},
            "report": {"attempts": attempts},
        }
        (tmp_path / "manifest.json").write_text(json.dumps(said))
        return tmp_path

    return write


@pytest.mark.parametrize("name", DEFENSES)
def test_a_manifest_gives_the_defence_back(name: str, manifest: Callable[..., Path]) -> None:
    defense = replace(DEFENSES[name], seed=7)
    assert recorded_defense(str(manifest(name, **asdict(defense)))) == defense


def test_a_file_of_the_folder_will_do(manifest: Callable[..., Path]) -> None:
    folder = manifest("mimic", epochs=3)
    assert recorded_defense(str(folder / "encoder.safetensors")) == Mimic(epochs=3)


def test_a_folder_without_a_manifest_tells_no_defence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no manifest\.json beside"):
        recorded_defense(str(tmp_path / "encoder.safetensors"))


@pytest.mark.usefixtures("hasty")
def test_a_canary_is_purified_as_the_manifest_says(
    run: Run,
    purify: Purify,
    encoder_file: Path,
    many: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []

    def measure(_encoder: object, defense: Defense, *_: object, **__: object) -> Canary:
        given.append(defense)
        pull = Pull(triggered=0.1, plain=0.0)
        return Canary(
            trigger="a", untouched=pull, implanted=pull, purified=None, images=1, seconds=1.0
        )

    monkeypatch.setattr("mimic.verification.verify.measure_canary", measure)
    assert purify("--no-verify", "--seed", 4).code == 0
    outcome = run(
        *("verify", encoder_file, tmp_path / "out", "--images", many, "--canary", "--json"),
        *HARDWARE,
    )
    assert given == [replace(DEFENSES["scratch"], epochs=3, seed=4)]
    assert "could not be implanted" in outcome.data["reasons"][-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"epochs": "many"}, "epochs must be a whole number"), ({"speed": 2}, "'speed'.*is unknown")],
)
def test_a_manifest_with_other_settings_is_refused(
    manifest: Callable[..., Path], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recorded_defense(str(manifest("mimic", **settings)))
