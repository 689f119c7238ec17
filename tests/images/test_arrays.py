import struct
import zipfile

import numpy as np
import pytest
import torch

from mimic.errors import InputError
from mimic.images.source import open_images

X = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
Y = np.array([3, 0, 2, 2, 1])


@pytest.fixture
def archive(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return save


def test_pixels_come_back_bit_for_bit(archive):
    expected = torch.from_numpy(X).permute(0, 3, 1, 2)
    assert torch.equal(open_images(archive(x=X)).tensor(), expected)


@pytest.mark.parametrize("y", [Y, Y[:, None], Y.astype(np.uint8), Y.astype(np.int32)])
def test_labels_are_a_row_or_a_column_of_integers(archive, y):
    assert open_images(archive(x=X, y=y), labels=True).labels.tolist() == Y.tolist()


def test_labels_are_absent_unless_asked_for(archive):
    assert open_images(archive(x=X, y=Y)).labels is None


def test_images_are_resized_if_asked(archive):
    assert open_images(archive(x=X), size=8).tensor().shape == (5, 3, 8, 8)


def test_archive_without_images_is_refused_and_its_content_named(archive):
    with pytest.raises(InputError, match=r"images as 'x'.*it holds pixels"):
        open_images(archive(pixels=X))


def test_archive_without_labels_is_refused_if_they_are_asked_for(archive):
    with pytest.raises(InputError, match=r"labels as 'y'.*it holds x"):
        open_images(archive(x=X), labels=True)


@pytest.mark.parametrize(
    ("x", "hint"),
    [
        (X / 255, "become pixels with"),
        (X.transpose(0, 3, 1, 2), "channels come last"),
        (X[..., 0], "must be uint8 of shape"),
        (X[:0], "none of them 0"),
        (X.astype(np.int64), "int64"),
    ],
)
def test_images_of_another_kind_are_refused_with_a_hint(archive, x, hint):
    with pytest.raises(InputError, match=hint):
        open_images(archive(x=x))


def test_object_arrays_are_refused_and_never_unpickled(archive):
    with pytest.raises(InputError, match="allow_pickle"):
        open_images(archive(x=np.array([{}, {}], dtype=object)))


@pytest.mark.parametrize(
    "y",
    [
        Y[:4],
        Y.astype(float),
        Y - 1,
        np.eye(5, dtype=int),
        Y + 2**31 - 3,
        Y.astype(np.uint64) + np.uint64(2**63),
    ],
)
def test_labels_of_another_kind_are_refused(archive, y):
    with pytest.raises(InputError, match="'y' in"):
        open_images(archive(x=X, y=y), labels=True)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 torn"])
def test_files_that_are_no_archive_are_refused(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*data\.npz"):
        open_images(tmp_path / "data.npz")


HEADER = b"\x93NUMPY\x01\0"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        HEADER + struct.pack("<H", 9000) + b"(" * 9000,
        HEADER
        + struct.pack("<H", 80)
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,)}".ljust(82) % 10**20,
    ],
    ids=["empty", "garbage", "endless", "overflow"],
)
def test_members_that_are_no_arrays_are_refused(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(InputError, match=r"cannot read .*data\.npz"):
        open_images(tmp_path / "data.npz")


def test_members_with_a_password_are_refused(archive):
    path = archive(x=X)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="password"):
        open_images(path)


def test_truncated_archive_is_refused(archive):
    path = archive(x=X)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot read"):
        open_images(path)


def test_plain_array_under_the_name_of_an_archive_is_refused(tmp_path):
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(InputError, match="cannot read"):
        open_images(tmp_path / "data.npz")
