import io
import json
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mimic.images import index as indexing
from mimic.images.folder import read_picture
from mimic.images.index import Index, build_index, known_index
from mimic.images.pictures import Pictures
from mimic.images.source import find_pictures, open_images


def counted(folder: Path) -> tuple[Pictures, list[int]]:
    """The pictures of a folder, and a list that grows whenever one is decoded."""
    files = sorted(folder.iterdir())
    decoded: list[int] = []

    def picture(index: int) -> Image.Image:
        decoded.append(index)
        return read_picture(files[index])

    source = Pictures(
        count=len(files),
        picture=picture,
        title=lambda index: files[index].name,
        name="a test",
        files=lambda: files,
    )
    return source, decoded


@pytest.fixture
def folder(tmp_path, save_images) -> Path:
    save_images(5)
    (tmp_path / "images" / "torn.png").write_bytes(b"torn")
    return tmp_path / "images"


def look_twice(folder: Path) -> tuple[Index, Index, int]:
    """Two openings, and how many pictures the second one decoded."""
    first = known_index(counted(folder)[0])
    pictures, decoded = counted(folder)
    return first, known_index(pictures), len(decoded)


def test_sizes_and_broken_pictures_are_found(folder):
    index = build_index(counted(folder)[0])
    assert index.sizes.tolist() == [[6, 8]] * 5 + [[0, 0]]
    assert (index.readable.tolist(), list(index.broken)) == ([0, 1, 2, 3, 4], [5])
    assert index.broken[5].startswith("not an image")


def test_sizes_are_counted():
    sizes = np.array([[4, 6], [0, 0], [8, 8], [4, 6]], dtype=np.int32)
    assert Index(sizes=sizes, broken={1: "torn"}).counts() == Counter({(4, 6): 2, (8, 8): 1})


def test_second_opening_decodes_nothing_and_finds_the_same(folder):
    first, second, decoded = look_twice(folder)
    assert np.array_equal(first.sizes, second.sizes)
    assert (second.broken, decoded) == (first.broken, 0)


def test_file_of_another_time_is_looked_at_again(folder):
    known_index(counted(folder)[0])
    os.utime(folder / "3.png", ns=(0, 0))
    assert look_twice(folder)[2] == 0
    os.utime(folder / "3.png", ns=(0, 1))
    pictures, decoded = counted(folder)
    known_index(pictures)
    assert len(decoded) == 6


def test_file_of_another_size_is_looked_at_again(folder):
    about = (folder / "torn.png").stat()
    known_index(counted(folder)[0])
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes())
    os.utime(folder / "torn.png", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert known_index(counted(folder)[0]).broken == {}


def test_files_that_are_gone_are_looked_for_again(folder):
    pictures, _ = counted(folder)
    known_index(pictures)
    (folder / "0.png").unlink()
    assert sorted(known_index(pictures).broken) == [0, 5]


def test_other_rules_of_decoding_are_another_index(folder, monkeypatch):
    known_index(counted(folder)[0])
    monkeypatch.setattr(indexing, "MAX_PIXELS", 9)
    pictures, decoded = counted(folder)
    known_index(pictures)
    assert len(decoded) == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"hello",
        lambda data: data[: len(data) // 2],
        lambda data: data[:60] + bytes(20) + data[80:],
    ],
    ids=["empty", "text", "cut", "zeros"],
)
def test_damaged_cache_is_ignored(folder, cache, damage):
    known_index(counted(folder)[0])
    (file,) = (cache / "index").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert known_index(counted(folder)[0]).readable.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("sizes", "broken"),
    [
        (np.zeros((6, 2), np.int32), []),
        (np.ones((6, 2), np.int32), [[5, "torn"]]),
        (np.ones((5, 2), np.int32), []),
        (np.ones((6, 2), np.int64), []),
        (np.ones((6, 2), np.int32), 7),
        (np.ones((6, 2), np.int32), [[[1], 2]]),
        (np.array([None] * 6), []),
    ],
)
def test_cache_that_contradicts_itself_is_ignored(folder, cache, sizes, broken):
    known_index(counted(folder)[0])
    (file,) = (cache / "index").iterdir()
    text = np.frombuffer(json.dumps(broken).encode(), np.uint8)
    with file.open("wb") as opened:
        np.savez(opened, sizes=sizes, broken=text, allow_pickle=sizes.dtype == object)
    assert known_index(counted(folder)[0]).readable.tolist() == [0, 1, 2, 3, 4]


def test_cache_whose_members_are_no_arrays_is_ignored(folder, cache):
    known_index(counted(folder)[0])
    (file,) = (cache / "index").iterdir()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("sizes.npy", b"garbage")
        archive.writestr("broken.npy", b"garbage")
    assert known_index(counted(folder)[0]).readable.tolist() == [0, 1, 2, 3, 4]


def test_cache_that_cannot_be_made_does_no_harm(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path / "file"))
    assert known_index(counted(folder)[0]).readable.tolist() == [0, 1, 2, 3, 4]


def test_cache_that_cannot_be_written_does_no_harm(folder, cache):
    (cache / "index").write_text("in the way")
    assert known_index(counted(folder)[0]).readable.tolist() == [0, 1, 2, 3, 4]


def test_sources_without_files_are_not_kept(cache):
    known_index(find_pictures("digits:test"))
    assert list(cache.iterdir()) == []


def write_archive(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, size in (("train/a.png", (3, 4)), ("test/a.png", (5, 6))):
            buffer = io.BytesIO()
            Image.new("RGB", size).save(buffer, "PNG")
            archive.writestr(name, buffer.getvalue())
    return tmp_path / "a.zip"


def test_folders_of_one_archive_are_kept_apart(tmp_path):
    path = write_archive(tmp_path)
    sizes = [
        open_images(f"{path}:{folder}", memory_limit=0).size for folder in ("train", "test") * 2
    ]
    assert sizes == [(4, 3), (6, 5), (4, 3), (6, 5)]


def test_only_streamed_sets_are_kept(tmp_path, save_images, cache):
    save_images(3)
    open_images(tmp_path / "images")
    held = list(cache.rglob("*.npz"))
    open_images(tmp_path / "images", memory_limit=0)
    assert (held, len(list(cache.rglob("*.npz")))) == ([], 1)
