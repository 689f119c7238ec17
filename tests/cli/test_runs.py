"""Checkpoint folders: kept while they are of use, and never somebody else's."""

from pathlib import Path

import pytest

from mimic.cli.runs import differing, output_folder, run_folder
from mimic.errors import InputError, RunError


def fail_in(folder: Path, *, checkpoint: bool) -> None:
    def work() -> None:
        with run_folder(folder, {"seed": 0}, resume=False):
            if checkpoint:
                (folder / "a.ckpt").write_bytes(b"state")
            raise RunError("failed")

    with pytest.raises(RunError):
        work()


def test_a_run_that_ends_well_leaves_nothing(tmp_path: Path) -> None:
    with run_folder(tmp_path / "run", {"seed": 0}, resume=False) as folder:
        (folder / "a.ckpt").write_bytes(b"state")
    assert not (tmp_path / "run").exists()


def test_a_failure_keeps_checkpoints(tmp_path: Path) -> None:
    fail_in(tmp_path / "run", checkpoint=True)
    assert (tmp_path / "run" / "a.ckpt").read_bytes() == b"state"


def test_a_failure_without_checkpoints_leaves_nothing(tmp_path: Path) -> None:
    fail_in(tmp_path / "run", checkpoint=False)
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_finds_its_checkpoints(tmp_path: Path) -> None:
    fail_in(tmp_path / "run", checkpoint=True)
    with run_folder(tmp_path / "run", {"seed": 0}, resume=True) as folder:
        assert (folder / "a.ckpt").exists()


def test_a_new_run_drops_old_checkpoints_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_in(tmp_path / "run", checkpoint=True)
    with run_folder(tmp_path / "run", {"seed": 1}, resume=False) as folder:
        assert not (folder / "a.ckpt").exists()
    assert "--resume would continue it" in capsys.readouterr().err


def test_other_settings_are_not_resumed(tmp_path: Path) -> None:
    fail_in(tmp_path / "run", checkpoint=True)
    with (
        pytest.raises(InputError, match="seed 0 instead of 1"),
        run_folder(tmp_path / "run", {"seed": 1}, resume=True),
    ):
        pass
    assert (tmp_path / "run" / "a.ckpt").exists()


@pytest.mark.parametrize("name", ["photo.png", "settings.json"])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[1]")
    with pytest.raises(InputError, match="something else"), run_folder(tmp_path, {}, resume=False):
        pass
    assert (tmp_path / name).exists()


def test_an_output_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with output_folder(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_was_there_stays(tmp_path: Path) -> None:
    with output_folder(tmp_path):
        pass
    assert tmp_path.is_dir()


def test_settings_are_compared_as_json_stores_them() -> None:
    assert differing({"size": [8, 8]}, {"size": (8, 8)}) == ""
    assert differing({"old": 1}, {"new": 2}) == "new None instead of 2, old 1 instead of None"
