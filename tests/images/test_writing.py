import json
import zipfile

import numpy as np
import pytest
import torch

from mimic.errors import InputError, RunError
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.images.writing import write_images

GENERATOR = torch.Generator().manual_seed(0)
PIXELS = torch.randint(0, 256, (300, 3, 5, 4), generator=GENERATOR).to(torch.uint8)
LABELS = torch.arange(300) % 7


@pytest.fixture
def images() -> ImageSet:
    return ImageSet.from_tensor(PIXELS, LABELS, name="toys")


@pytest.mark.parametrize("name", ["set.npz", "folder"])
def test_the_same_images_are_read_back_in_the_same_order(images, tmp_path, name):
    write_images(images.unlabelled(), tmp_path / name)
    assert torch.equal(open_images(tmp_path / name).tensor(), PIXELS)


def test_an_archive_keeps_the_labels(images, tmp_path):
    write_images(images, tmp_path / "set.npz")
    assert torch.equal(open_images(tmp_path / "set.npz", labels=True).labels, LABELS)


def test_an_archive_of_unlabelled_images_has_no_labels(images, tmp_path):
    write_images(images.unlabelled(), tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz", allow_pickle=False) as archive:
        assert archive.files == ["x"]


def test_the_same_images_make_the_same_archive(images, tmp_path):
    for name in ("a.npz", "b.npz"):
        write_images(images, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


def test_images_are_read_in_parts(tmp_path):
    largest = 0

    def read(chosen):
        nonlocal largest
        largest = max(largest, len(chosen))
        return PIXELS[torch.as_tensor(chosen)]

    images = ImageSet(read=read, indices=torch.arange(300), size=(5, 4), streamed=True)
    write_images(images, tmp_path / "set.npz")
    assert largest < 300


@pytest.mark.parametrize(
    ("name", "manifest"),
    [("set.npz", "set.manifest.json"), ("folder", "folder/manifest.json")],
)
def test_the_manifest_lies_with_the_images(images, tmp_path, name, manifest):
    where = write_images(images.unlabelled(), tmp_path / name, manifest={"poisoned": [3, 5]})
    assert where == tmp_path / manifest
    assert json.loads(where.read_text()) == {"poisoned": [3, 5]}


@pytest.mark.parametrize("name", ["set.npz", "folder"])
def test_there_is_nothing_but_the_images_without_a_manifest(images, tmp_path, name):
    write_images(images.unlabelled(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not list(tmp_path.rglob("*.json"))


def test_an_older_archive_is_replaced(images, tmp_path):
    write_images(images.subset([0]), tmp_path / "set.npz")
    write_images(images.subset([1, 2]), tmp_path / "set.npz")
    assert torch.equal(open_images(tmp_path / "set.npz").tensor(), PIXELS[1:3])


def test_an_empty_folder_is_filled(images, tmp_path):
    write_images(images.unlabelled(), tmp_path)
    assert len(open_images(tmp_path)) == 300


def test_a_folder_that_holds_something_is_refused(images, tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(InputError, match="holds something already"):
        write_images(images.unlabelled(), tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(images, tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="holds something already"):
        write_images(images.unlabelled(), tmp_path / "taken")


def test_labels_that_a_folder_would_lose_are_refused(images, tmp_path):
    with pytest.raises(InputError, match=r"'toys' have labels.* write an \.npz"):
        write_images(images, tmp_path / "folder")


@pytest.mark.parametrize("name", ["set.npz", "folder"])
def test_a_failure_in_the_middle_leaves_nothing(tmp_path, name):
    def read(chosen):
        if max(chosen) > 256:
            raise RunError("gone")
        return PIXELS[torch.as_tensor(chosen)]

    images = ImageSet(read=read, indices=torch.arange(300), size=(5, 4))
    with pytest.raises(RunError, match="gone"):
        write_images(images, tmp_path / name, manifest={})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(images, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(RunError, match="nothing was left half-written: No space left"):
        write_images(images.unlabelled(), tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
