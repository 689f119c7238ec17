"""Text embeddings: what a file may hold, and what it may not."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mimic.errors import InputError
from mimic.evaluation import texts as module
from mimic.evaluation.texts import TextEmbeddings, read_text_embeddings

VECTORS = np.array([[3.0, 4.0], [0.0, -2.0]], dtype=np.float32)
NAMES = ["cat", "dog"]


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "texts.npz", **arrays)
    return folder / "texts.npz"


def test_an_npz_gives_vectors_of_length_one_and_names(tmp_path):
    found = read_text_embeddings(npz(tmp_path, embeddings=VECTORS, classes=np.array(NAMES)))
    torch.testing.assert_close(found.vectors, torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert found.class_names == ("cat", "dog")


def test_safetensors_give_the_same(tmp_path):
    path = tmp_path / "texts.safetensors"
    save_file({"embeddings": torch.from_numpy(VECTORS)}, path, {"classes": json.dumps(NAMES)})
    found = read_text_embeddings(path)
    expected = read_text_embeddings(npz(tmp_path, embeddings=VECTORS, classes=np.array(NAMES)))
    assert torch.equal(found.vectors, expected.vectors)
    assert found.class_names == expected.class_names


def test_names_may_be_left_out(tmp_path):
    assert read_text_embeddings(npz(tmp_path, embeddings=VECTORS)).class_names == ()


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_floats_of_any_width_are_taken(tmp_path, kind):
    found = read_text_embeddings(npz(tmp_path, embeddings=VECTORS.astype(kind)))
    assert found.vectors.dtype == torch.float32


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": VECTORS}, "needs 'embeddings'"),
        ({"embeddings": VECTORS.astype(np.int64)}, "needs 'embeddings'"),
        ({"embeddings": VECTORS[0]}, r"of shape \(2,\)"),
        ({"embeddings": VECTORS[:1]}, "2 classes or more"),
        ({"embeddings": VECTORS * np.float32([[1], [0]])}, "is 0, NaN or infinite"),
        ({"embeddings": VECTORS * np.float32([[1], [np.nan]])}, "is 0, NaN or infinite"),
        ({"embeddings": VECTORS, "classes": np.array(["cat"])}, "2 embeddings and 1 different"),
        ({"embeddings": VECTORS, "classes": np.array(["cat"] * 2)}, "2 embeddings and 1 different"),
        ({"embeddings": VECTORS, "classes": np.array([1, 2])}, "must be a list of texts"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        read_text_embeddings(npz(tmp_path, **arrays))


class _Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("touched"),))


def test_pickled_arrays_are_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("evil.npz", "w") as archive, archive.open("embeddings.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": (2, 2)}
        )
        file.write(pickle.dumps(_Evil()))
    with pytest.raises(InputError, match="plain arrays"):
        read_text_embeddings("evil.npz")
    assert not Path("touched").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere.npz", "there is no file"), ("texts.csv", "an .npz or a .safetensors")],
)
def test_other_files_are_refused(tmp_path, name, message):
    (tmp_path / "texts.csv").write_text("1,2")
    with pytest.raises(InputError, match=message):
        read_text_embeddings(tmp_path / name)


@pytest.mark.parametrize("name", ["texts.npz", "texts.safetensors"])
def test_damaged_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(InputError, match=r"embeddings|plain arrays"):
        read_text_embeddings(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_members_that_are_no_arrays_are_refused(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "texts.npz", "w") as archive:
        archive.writestr("embeddings.npy", content)
    with pytest.raises(InputError, match="'embeddings' is damaged or no array"):
        read_text_embeddings(tmp_path / "texts.npz")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 2_000)
    path = tmp_path / "texts.npz"
    np.savez_compressed(path, embeddings=np.ones((100, 100), dtype=np.float32))
    assert path.stat().st_size < 2_000
    with pytest.raises(InputError, match="holds more than"):
        read_text_embeddings(path)


@pytest.mark.parametrize("header", ['{"a": 1}', "[1, 2]", "[", "[" * 100_000, "null"])
def test_other_names_in_a_header_are_refused(tmp_path, header):
    path = tmp_path / "texts.safetensors"
    save_file({"embeddings": torch.from_numpy(VECTORS)}, path, {"classes": header})
    with pytest.raises(InputError, match=r"embeddings|list of texts"):
        read_text_embeddings(path)


def test_the_scale_of_an_embedding_does_not_count():
    first, second = (TextEmbeddings.of(k * torch.from_numpy(VECTORS)) for k in (1, 7))
    torch.testing.assert_close(first.vectors, second.vectors)
