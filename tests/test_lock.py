"""The lock of a place: held by one, told to others, released by death."""

import json
import os
import socket
import subprocess
import sys

import pytest

from mimic.errors import InputError
from mimic.lock import locked

LOCK = "a.lock"


def hold(folder) -> None:
    with locked(folder / LOCK, "mimic bench"):
        pass


def test_a_second_one_is_told_who_holds_it(tmp_path):
    with (
        locked(tmp_path / LOCK, "mimic bench"),
        pytest.raises(
            InputError, match=f"process {os.getpid()} on {socket.gethostname()} since 20"
        ),
    ):
        hold(tmp_path)


def test_it_can_be_had_again_afterwards(tmp_path):
    hold(tmp_path)
    hold(tmp_path)
    assert not (tmp_path / LOCK).exists()


def test_a_failure_releases_it(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / LOCK, "mimic bench"):
        _ = 1 / 0
    hold(tmp_path)


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from mimic.lock import locked\n"
        "with locked(Path(sys.argv[1], 'a.lock'), 'mimic bench'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert "pid" in json.loads((tmp_path / LOCK).read_text())
    hold(tmp_path)


def test_a_lock_of_another_machine_is_respected(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "today"}))
    with pytest.raises(InputError, match=r"process 1 on elsewhere since today.*remove '.*a\.lock"):
        hold(tmp_path)
    assert (tmp_path / LOCK).exists()


def test_a_lock_file_that_says_nothing_is_taken_over(tmp_path):
    (tmp_path / LOCK).write_text("{")
    hold(tmp_path)
