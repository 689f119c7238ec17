import errno
import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mimic.errors import InputError, MimicError, RunError
from mimic.files import (
    atomic_write,
    ensure_folder,
    expanded,
    sha256,
    tells_full_disk,
    write_json,
    write_text,
)

FULL = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "result.txt"
    path.write_text("old")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path, error: BaseException) -> None:
    """Begin to write, then fail."""
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error


def fail(number: int):
    def failing(*_arguments, **_settings):
        raise OSError(number, os.strerror(number))

    return failing


@pytest.fixture
def permissions():
    """Sets the umask for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_a_new_file_and_its_folders_are_created(tmp_path):
    write_text(tmp_path / "a" / "b" / "new.txt", "grün\n")
    assert (tmp_path / "a" / "b" / "new.txt").read_bytes() == "grün\n".encode()


def test_an_old_file_is_replaced(old):
    write_text(old, "new")
    assert old.read_text() == "new"


def test_the_old_file_stays_until_the_block_ends(old):
    with atomic_write(old) as temporary:
        temporary.write_text("new")
        assert old.read_text() == "old"


def test_only_the_result_is_left_behind(old):
    write_text(old, "new")
    assert names(old.parent) == ["result.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_in_the_block_leaves_the_old_file_alone(old, error):
    with pytest.raises(error):
        write_half(old, error())
    assert old.read_text() == "old"


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_an_exception_in_the_block_leaves_no_temporary_file(tmp_path, error):
    with pytest.raises((error, InputError)):
        write_half(tmp_path / "new.txt", error())
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", FULL)
def test_a_full_disk_in_the_block_is_a_sentence(old, number):
    with pytest.raises(RunError, match=r"the disk is full: '.*result.txt' was not written"):
        write_half(old, OSError(number, os.strerror(number)))
    assert (old.read_text(), names(old.parent)) == ("old", ["result.txt"])


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EACCES, False)])
def test_a_full_disk_can_be_told_from_a_forbidden_place(old, number, full):
    with pytest.raises(MimicError) as caught:
        write_half(old, OSError(number, os.strerror(number)))
    assert tells_full_disk(caught.value) is full


def test_a_disk_that_is_full_at_the_last_moment_is_a_sentence(old, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail(errno.ENOSPC))
    with pytest.raises(RunError, match="the disk is full"):
        write_text(old, "new")
    assert (old.read_text(), names(old.parent)) == ("old", ["result.txt"])


def test_a_file_that_really_outgrows_its_place_is_a_sentence(old):
    code = (
        "import resource, sys; from mimic.files import write_text; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "write_text(sys.argv[1], 'x' * 5000)"
    )
    command = [sys.executable, "-c", code, str(old)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "RunError: the disk is full" in done.stderr
    assert (old.read_text(), names(old.parent)) == ("old", ["result.txt"])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot write '.*': Permission denied"):
        write_text(tmp_path / "new.txt", "new")
    tmp_path.chmod(0o700)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", fail(errno.EACCES))
    with pytest.raises(InputError, match=r"cannot write '.*': Permission denied; choose another"):
        write_text(tmp_path / "new.txt", "new")
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_refused(old):
    with pytest.raises(InputError, match=r"cannot write '.*result.txt'"):
        write_text(old / "new.txt", "new")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match=r"cannot write '.*taken'"):
        write_text(tmp_path / "taken", "new")
    assert names(tmp_path) == ["taken"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, permissions, mask, mode):
    permissions(mask)
    write_text(tmp_path / "new.txt", "new")
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == mode


def test_permissions_follow_the_umask_where_a_writer_has_its_own_idea(tmp_path, permissions):
    path = tmp_path / "new.safetensors"
    with atomic_write(path) as temporary:
        save_file({"weight": torch.zeros(2)}, temporary)
        temporary.chmod(0o600)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_home_is_put_in_and_one_of_nobody_is_refused():
    assert expanded("~/a") == Path.home() / "a"
    with pytest.raises(InputError, match="'~nobody-of-that-name/a'"):
        expanded("~nobody-of-that-name/a")


def test_ensure_folder_creates_parents_and_leaves_nothing_inside(tmp_path):
    folder = ensure_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert names(folder) == []


def test_ensure_folder_takes_a_folder_that_is_there(tmp_path):
    assert ensure_folder(str(tmp_path)) == tmp_path


def test_json_comes_back_as_it_was(tmp_path):
    value = {"größe": [1, 2.5, None, True], "stages": {"layer1": 0.25}}
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "größe" in text
    assert text.endswith("}\n")


def test_a_name_that_is_no_text_is_written_and_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"file": "caf\udce9.pth"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"file": "caf\udce9.pth"}


def test_the_longest_name_that_a_file_may_have_is_written(tmp_path):
    write_text(tmp_path / ("n" * 255), "new")
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_without_a_number_is_refused(old, number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(old, {"rate": number})
    assert (old.read_text(), names(old.parent)) == ("old", ["result.txt"])


@pytest.mark.parametrize("size", [0, 3, (1 << 20) + 1])
def test_sha256_is_that_of_the_bytes(tmp_path, size):
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
