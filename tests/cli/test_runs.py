"""Checkpoint folders: kept while they are of use, and never somebody else's."""

from pathlib import Path

import pytest

from mimic.cli.runs import differing, output_folder, run_folder
from mimic.errors import InputError, RunError

SETTINGS = {"command": "purify", "seed": 0}


def fail_in(folder: Path, *, checkpoint: bool) -> None:
    def work() -> None:
        with run_folder(folder, SETTINGS, resume=False):
            if checkpoint:
                (folder / "a.ckpt").write_bytes(b"state")
            raise RunError("failed")

    with pytest.raises(RunError):
        work()


def test_a_run_that_ends_well_leaves_nothing(tmp_path: Path) -> None:
    with run_folder(tmp_path / "run", SETTINGS, resume=False) as folder:
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
    with run_folder(tmp_path / "run", SETTINGS, resume=True) as folder:
        assert (folder / "a.ckpt").exists()


def test_a_new_run_drops_old_checkpoints_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_in(tmp_path / "run", checkpoint=True)
    with run_folder(tmp_path / "run", SETTINGS | {"seed": 1}, resume=False) as folder:
        assert not (folder / "a.ckpt").exists()
    assert "--resume would continue it" in capsys.readouterr().err


def test_other_settings_are_not_resumed(tmp_path: Path) -> None:
    fail_in(tmp_path / "run", checkpoint=True)
    with (
        pytest.raises(InputError, match="seed 0 instead of 1"),
        run_folder(tmp_path / "run", SETTINGS | {"seed": 1}, resume=True),
    ):
        pass
    assert (tmp_path / "run" / "a.ckpt").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("photo.png", ""), ("settings.json", "[1]"), ("settings.json", '{"editor": "theme"}')],
)
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text(content)
    with (
        pytest.raises(InputError, match="something else"),
        run_folder(tmp_path / "run", SETTINGS, resume=False),
    ):
        pass
    assert (tmp_path / "run" / name).read_text() == content


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with (
        pytest.raises(InputError, match="is a file"),
        run_folder(tmp_path / "run", SETTINGS, resume=False),
    ):
        pass


def test_a_folder_elsewhere_that_a_link_leads_to_is_used_and_emptied(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "scratch", target_is_directory=True)
    fail_in(tmp_path / "run", checkpoint=True)
    assert (tmp_path / "scratch" / "a.ckpt").exists()
    with run_folder(tmp_path / "run", SETTINGS, resume=False) as folder:
        (folder / "attempt-2").mkdir()
        assert not (tmp_path / "scratch" / "a.ckpt").exists()
    assert not list((tmp_path / "scratch").iterdir())
    assert (tmp_path / "run").is_symlink()


def test_a_second_run_at_the_same_place_is_refused(tmp_path: Path) -> None:
    with run_folder(tmp_path / "run", SETTINGS, resume=False) as folder:
        (folder / "a.ckpt").write_bytes(b"state")
        with (
            pytest.raises(InputError, match="in use by another 'mimic purify'"),
            run_folder(tmp_path / "run", SETTINGS | {"seed": 1}, resume=False),
        ):
            pass
        assert (folder / "a.ckpt").exists()
    assert not list(tmp_path.iterdir())


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
