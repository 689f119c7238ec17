import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mimic.errors import InputError
from mimic.images.source import open_images


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def levels(images) -> list[int]:
    return images.tensor()[:, 0, 0, 0].tolist()


def web_dataset(levels: list[int], labels: list[str] | None = None) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for index, level in enumerate(levels):
        files[f"{index:04}.png"] = png(level)
        files[f"{index:04}.json"] = b"{}"
        if labels is not None:
            files[f"{index:04}.cls"] = labels[index].encode()
    return files


both = pytest.mark.parametrize("kind", ["zip", "tar"])


@both
def test_images_come_in_the_order_of_the_archive(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", {f"{n}.png": png(n) for n in (5, 1, 9)})
    assert levels(open_images(path)) == [5, 1, 9]


@both
def test_other_files_are_passed_over(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", {"README.md": b"x", "a/b.PNG": png(1), "c.json": b"{}"})
    assert levels(open_images(path)) == [1]


@both
def test_folders_are_classes(tmp_path, kind):
    files = {"mule/1.png": png(1), "ape/x/1.png": png(2), "ape/2.png": png(3)}
    images = open_images(write(tmp_path / f"a.{kind}", files), labels=True)
    assert (images.labels.tolist(), images.class_names) == ([1, 0, 0], ("ape", "mule"))


def test_folder_of_an_archive_can_be_picked(tmp_path):
    files = {"train/ape/1.png": png(1), "test/ape/1.png": png(2), "train/mule/1.png": png(3)}
    write(tmp_path / "a.zip", files)
    images = open_images(f"{tmp_path}/a.zip:train", labels=True)
    assert (levels(images), images.class_names) == ([1, 3], ("ape", "mule"))


def test_folder_that_holds_everything_is_not_a_class(tmp_path):
    write(tmp_path / "a.zip", {"pets/ape/1.png": png(1), "pets/mule/1.png": png(3)})
    with pytest.raises(InputError, match=r"write '.*/a\.zip:pets' if the classes are in there"):
        open_images(tmp_path / "a.zip", labels=True)
    images = open_images(f"{tmp_path}/a.zip:pets", labels=True)
    assert images.class_names == ("ape", "mule")


def test_deeper_folder_that_holds_everything_is_named_in_full(tmp_path):
    write(tmp_path / "a.zip", {"pets/v1/ape/1.png": png(1), "pets/v1/mule/1.png": png(3)})
    with pytest.raises(InputError, match=r"write '.*/a\.zip:pets/v1' if"):
        open_images(f"{tmp_path}/a.zip:pets", labels=True)


def test_names_in_messages_cannot_steer_the_terminal(tmp_path):
    write(tmp_path / "a.zip", {"\x1b[2J.png": png(1), "ape/1.png": png(1)})
    with pytest.raises(InputError, match=r"'\\x1b\[2J\.png' in .* lies in no sub-folder"):
        open_images(tmp_path / "a.zip", labels=True)


def test_folder_that_is_not_in_the_archive_is_refused(tmp_path):
    write(tmp_path / "a.zip", {"train/1.png": png(1)})
    with pytest.raises(InputError, match="holds no images in 'trai/'"):
        open_images(f"{tmp_path}/a.zip:trai")


def test_archive_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        open_images(write(tmp_path / "a.tar", {"a.txt": b"x"}))


def test_labels_of_webdataset_are_read(tmp_path):
    path = write(tmp_path / "a.tar", web_dataset([7, 8, 9], ["3", "0\n", "1"]))
    images = open_images(path, labels=True)
    assert (levels(images), images.labels.tolist()) == ([7, 8, 9], [3, 0, 1])


def test_labels_of_webdataset_may_be_words(tmp_path):
    path = write(tmp_path / "a.tar", web_dataset([7, 8], ["mule", "ape"]))
    images = open_images(path, labels=True)
    assert (images.labels.tolist(), images.class_names) == ([1, 0], ("ape", "mule"))


def test_key_of_a_sample_ends_at_the_first_dot(tmp_path):
    files = {"a.b/x.left.png": png(1), "a.b/x.right.png": png(2), "a.b/x.cls": b"4"}
    images = open_images(write(tmp_path / "a.tar", files), labels=True)
    assert images.labels.tolist() == [4, 4]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a.png": png(1), "b.cls": b"1"}, "no 'a.cls' beside it"),
        ({"a.png": png(1), "a.cls": b"1", "a.x.cls": b"2"}, "is a second label"),
        ({"a.png": png(1), "a.cls": b"\xff"}, "is no label"),
        ({"a.png": png(1), "a.cls": b"7" * 300}, "too long for a label"),
        ({"a.png": png(1), "a.cls": b""}, "empty label"),
        ({"a.png": png(1), "b/a.png": png(1)}, "lies in no sub-folder"),
    ],
)
def test_labels_that_are_asked_for_must_be_there(tmp_path, files, why):
    with pytest.raises(InputError, match=why):
        open_images(write(tmp_path / "a.tar", files), labels=True)


def test_labels_are_not_looked_at_unless_asked_for(tmp_path):
    path = write(tmp_path / "a.tar", {"a.png": png(1), "b.cls": b"1"})
    assert open_images(path).labels is None


def test_folder_of_shards_is_one_set_in_the_order_of_their_names(tmp_path):
    write(tmp_path / "set-000001.tar", web_dataset([3, 4], ["1", "0"]))
    write(tmp_path / "set-000000.tar", web_dataset([1, 2], ["0", "1"]))
    images = open_images(tmp_path, labels=True)
    assert (levels(images), images.labels.tolist()) == ([1, 2, 3, 4], [0, 1, 1, 0])


def test_split_of_a_folder_of_shards_is_picked_by_name(tmp_path):
    write(tmp_path / "train-000000.tar", web_dataset([1]))
    write(tmp_path / "val-000000.tar", web_dataset([2]))
    assert levels(open_images(f"{tmp_path}:val")) == [2]


def test_one_of_several_splits_must_be_named(tmp_path):
    write(tmp_path / "train-000000.tar", web_dataset([1]))
    write(tmp_path / "val-000000.tar", web_dataset([2]))
    with pytest.raises(InputError, match=r"several splits; write one of .*:train', .*:val'"):
        open_images(tmp_path)


def test_loose_images_win_over_the_archive_they_came_in(tmp_path):
    write(tmp_path / "backup.zip", {"a.png": png(1), "b.png": png(2)})
    (tmp_path / "a.png").write_bytes(png(1))
    assert len(open_images(tmp_path)) == 1


@both
def test_broken_members_are_skipped_and_named(tmp_path, kind):
    files = {f"{n}.png": png(n) for n in range(10)} | {"bad.jpg": b"\xff\xd8 torn"}
    (skipped,) = open_images(write(tmp_path / f"a.{kind}", files)).skipped
    assert skipped.startswith("bad.jpg: ")


def test_broken_members_of_shards_are_named_with_their_shard(tmp_path):
    write(tmp_path / "a-0.tar", {f"{n}.png": png(n) for n in range(10)})
    write(tmp_path / "a-1.tar", {"bad.jpg": b"torn"})
    (skipped,) = open_images(tmp_path).skipped
    assert skipped.startswith("a-1.tar/bad.jpg: ")


def test_truncated_shard_is_refused(tmp_path):
    path = write(tmp_path / "a.tar", {"a.png": png(1), "b.png": png(2)})
    path.write_bytes(path.read_bytes()[:1100])
    with pytest.raises(InputError, match=r"damaged after 'a\.png'"):
        open_images(tmp_path)


@both
def test_streamed_equals_held_bit_for_bit(tmp_path, kind):
    random = np.random.default_rng(0)
    files = {}
    for index in range(12):
        buffer = io.BytesIO()
        pixels = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        files[f"{index}.png"] = buffer.getvalue()
    path = write(tmp_path / f"a.{kind}", files)
    held, streamed = open_images(path), open_images(path, memory_limit=0)
    order = torch.tensor([11, 0, 3, 3])
    assert streamed.streamed
    assert torch.equal(streamed.batch(order), held.batch(order))
