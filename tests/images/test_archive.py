import io
import stat
import struct
import tarfile
import threading
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from mimic.errors import InputError
from mimic.images.archive import Archive, open_archive
from mimic.images.decode import BrokenImageError

FILES = {"a.png": b"first", "ape/b.png": bytes(range(256)) * 9, "ape/empty": b""}


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


WRITERS = {"zip": write_zip, "tar": write_tar}


def contents(archive: Archive) -> dict[str, bytes]:
    return {name: archive.read(index) for index, name in enumerate(archive.names)}


@pytest.mark.parametrize("kind", WRITERS)
def test_files_come_back_as_they_were_packed(tmp_path, kind):
    assert contents(open_archive(WRITERS[kind](tmp_path / f"a.{kind}", FILES))) == FILES


def test_files_that_were_only_stored_come_back_too(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES, zipfile.ZIP_STORED)
    assert contents(open_archive(path)) == FILES


@pytest.mark.parametrize("kind", WRITERS)
def test_paths_that_lead_out_or_are_hidden_are_left_out(tmp_path, kind):
    names = ["../up.png", "a/../../up.png", ".hidden.png", "a/._b.png", ".git/c.png", "."]
    path = WRITERS[kind](tmp_path / f"a.{kind}", dict.fromkeys([*names, "kept.png"], b"x"))
    assert open_archive(path).names == ["kept.png"]


@pytest.mark.parametrize("kind", WRITERS)
def test_absolute_paths_are_only_names(tmp_path, kind):
    path = WRITERS[kind](tmp_path / f"a.{kind}", {"/etc//passwd.png": b"x", "./a/./b.png": b"y"})
    assert contents(open_archive(path)) == {"etc/passwd.png": b"x", "a/b.png": b"y"}


def test_folders_and_links_in_a_zip_are_left_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.mkdir("folder.png")
        archive.writestr("file.png", b"x")
    assert open_archive(tmp_path / "a.zip").names == ["file.png"]


@pytest.mark.parametrize("kind", WRITERS)
def test_files_that_are_too_large_are_not_read(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("mimic.images.archive.MAX_BYTES", 4)
    archive = open_archive(WRITERS[kind](tmp_path / f"a.{kind}", FILES))
    with pytest.raises(BrokenImageError, match="5 bytes are more than 4"):
        archive.read(0)


def test_bombs_that_lie_about_their_size_are_not_unpacked(tmp_path):
    size = 50 << 20
    path = write_zip(tmp_path / "a.zip", {"a.png": bytes(size)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", size), struct.pack("<L", 99)))
    archive = open_archive(path)
    tracemalloc.start()
    with pytest.raises(BrokenImageError, match="damaged"):
        archive.read(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused_because_they_unpack_without_a_bound(tmp_path, method):
    archive = open_archive(write_zip(tmp_path / "a.zip", FILES, method))
    with pytest.raises(BrokenImageError, match="other than deflate"):
        archive.read(0)


def test_encrypted_files_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(BrokenImageError, match="encrypted"):
        open_archive(path).read(0)


def test_damaged_content_is_noticed_by_its_checksum(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": b"abcdefgh"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abXdefgh"))
    with pytest.raises(BrokenImageError, match="damaged: Bad CRC-32"):
        open_archive(path).read(0)


def test_flipped_bytes_raise_nothing_but_our_own_errors(tmp_path):
    whole = write_zip(tmp_path / "a.zip", {"a.png": b"abc" * 20, "b.png": b"xyz" * 9}).read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        (tmp_path / "b.zip").write_bytes(damaged)
        with suppress(InputError):
            archive = open_archive(tmp_path / "b.zip")
            for index in range(len(archive.names)):
                with suppress(BrokenImageError):
                    archive.read(index)


@pytest.mark.parametrize("length", [0, 50, -30])
def test_truncated_zip_is_refused(tmp_path, length):
    path = write_zip(tmp_path / "a.zip", FILES)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="no zip archive, or damaged"):
        open_archive(path)


def test_tar_that_is_cut_off_while_in_use_gives_broken_images(tmp_path):
    path = write_tar(tmp_path / "a.tar", FILES)
    archive = open_archive(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(BrokenImageError, match="cut off"):
        archive.read(1)


@pytest.mark.parametrize("kind", WRITERS)
def test_threads_do_not_disturb_each_other(tmp_path, kind):
    files = {f"{index}.png": bytes([index]) * 5_000 for index in range(64)}
    archive = open_archive(WRITERS[kind](tmp_path / f"a.{kind}", files))
    wrong: list[int] = []

    def read_all() -> None:
        wrong.extend(i for i in range(64) if archive.read(i) != files[f"{i}.png"])

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
