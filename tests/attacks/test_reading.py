import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mimic.attacks.reading import read_arrays, read_picture
from mimic.errors import InputError


def test_a_picture_keeps_its_pixels(picture):
    expected = torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1)
    assert torch.equal(read_picture(picture), expected)


def test_a_picture_is_brought_to_the_size_asked_for(picture):
    assert read_picture(picture, size=(8, 5)).shape == (3, 8, 5)


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_picture(path)


def test_arrays_come_in_the_order_asked_for(tmp_path):
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.ones(1))
    b, a = read_arrays(tmp_path / "two.npz", "b", "a")
    assert (a.item(), b.item()) == (0, 1)


def test_a_pickle_is_refused(tmp_path):
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(tmp_path / "pickle.npz", "x")


def test_a_lone_array_is_refused(tmp_path):
    np.save(tmp_path / "lone.npy", np.zeros(3))
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(tmp_path / "lone.npy", "x")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"text"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(path, "x")


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_member_that_is_no_array_is_refused(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "damaged.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(InputError, match="'x' is damaged or no array"):
        read_arrays(tmp_path / "damaged.npz", "x")


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "whole.npz"
    np.savez(path, x=np.zeros(1000))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(path, "x")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_arrays(tmp_path, "x")
