import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mimic.encoders.checkpoint import read_checkpoint
from mimic.errors import InputError
from mimic.files import sha256

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor(3)}


class Trap:
    """Unpickling it creates a file: the proof that code has run."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


def test_a_torch_file_gives_its_tensors(saved):
    found = read_checkpoint(saved(WEIGHTS)).state_dicts[()]
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())


def test_an_old_torch_file_gives_its_tensors(saved):
    path = saved(WEIGHTS, _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(path).state_dicts[()]["a.weight"], WEIGHTS["a.weight"])


def test_a_safetensors_file_gives_its_tensors_and_its_header(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(WEIGHTS, path, metadata={"by": "someone"})
    found = read_checkpoint(path)
    assert (found.kind, set(found.state_dicts[()]), dict(found.metadata)) == (
        "safetensors",
        set(WEIGHTS),
        {"by": "someone"},
    )


def test_a_safetensors_file_is_known_under_any_name(tmp_path):
    path = tmp_path / "a.bin"
    save_file(WEIGHTS, path)
    assert read_checkpoint(path).kind == "safetensors"


def test_every_dictionary_of_tensors_is_found(saved):
    content = {"epoch": 3, "model": {"net": WEIGHTS}, "optimizer": {"state": {0: dict(WEIGHTS)}}}
    found = read_checkpoint(saved(content)).state_dicts
    assert list(found) == [("model", "net"), ("optimizer", "state", 0)]


def test_a_dictionary_in_two_places_is_found_once(saved):
    shared = dict(WEIGHTS)
    found = read_checkpoint(saved({"model": shared, "ema": shared})).state_dicts
    assert list(found) == [("model",)]


def test_dictionaries_that_share_their_parts_are_each_looked_at_once(saved):
    content = dict(WEIGHTS)
    for _ in range(40):  # a trillion paths lead to the tensors
        content = {"a": content, "b": content}
    assert list(read_checkpoint(saved(content)).state_dicts) == [("a",) * 40]


def test_a_dictionary_that_holds_itself_is_found_once(saved):
    content = dict(WEIGHTS)
    content["self"] = content
    assert list(read_checkpoint(saved(content)).state_dicts) == [()]


@pytest.mark.parametrize("depth", [65, 300])
def test_dictionaries_that_are_nested_too_deeply_are_refused(saved, depth):
    content = dict(WEIGHTS)
    for _ in range(depth):
        content = {"a": content}
    with pytest.raises(InputError, match="more than 64 deep"):
        read_checkpoint(saved(content))


def test_the_hash_is_that_of_the_file(saved):
    path = saved(WEIGHTS)
    assert read_checkpoint(path).sha256 == sha256(path)


def test_the_dtype_is_that_of_the_file(saved):
    path = saved({"a": torch.ones(2, dtype=torch.float16)})
    assert read_checkpoint(path).state_dicts[()]["a"].dtype == torch.float16


@pytest.fixture(params=["zip", "old", 0, 2, 4])
def trapped(request, tmp_path):
    trap, path = Trap(tmp_path / "proof"), tmp_path / "trap.pth"
    if isinstance(request.param, int):
        path.write_bytes(pickle.dumps(trap, protocol=request.param))
    else:
        torch.save({"w": trap}, path, _use_new_zipfile_serialization=request.param == "zip")
    return path


def test_code_in_a_pickle_is_not_executed(trapped):
    with pytest.raises(InputError):
        read_checkpoint(trapped)
    assert not (trapped.parent / "proof").exists()


def test_code_in_a_pickle_is_called_by_its_name(trapped):
    with pytest.raises(InputError, match=r"execute code .*mkdir.*NOT executed.*safetensors"):
        read_checkpoint(trapped)


def test_a_whole_pickled_module_is_refused_as_code(saved):
    with pytest.raises(InputError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(saved(nn.Linear(2, 2)))


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_program_is_refused_as_code(tmp_path):
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(str(tmp_path / "a.pt"))
    with pytest.raises(InputError, match="TorchScript program"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
    ],
)
def test_what_a_failed_download_leaves_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_checkpoint(path)


def test_a_safetensors_file_whose_length_is_the_code_of_a_bracket_is_no_web_page(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(ord("<"))
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<f", 3))
    assert read_checkpoint(path).state_dicts[()]["a"].item() == 3


@pytest.mark.parametrize("text", ["hello world", "conv1 weights\n1 2 3\n", "{}", "(dp0\n."])
def test_a_text_file_is_called_a_text_file(tmp_path, text):
    path = tmp_path / "a.pth"
    path.write_text(text)
    with pytest.raises(InputError, match="is a text file, not a checkpoint"):
        read_checkpoint(path)


def test_random_bytes_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(bytes(range(1, 200)))
    with pytest.raises(InputError, match="is in no format that is known here"):
        read_checkpoint(path)


def packed(path):
    """The same torch file, but compressed."""
    smaller = path.with_name("packed.pth")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return smaller


def test_a_file_that_unpacks_to_far_more_than_its_size_is_not_unpacked(saved, monkeypatch):
    monkeypatch.setattr("mimic.encoders.checkpoint._MOST_UNPACKED", 1 << 20)
    with pytest.raises(InputError, match=r"unpack to 4 MiB.*not unpacked"):
        read_checkpoint(packed(saved({"a": torch.zeros(1 << 20)})))


def test_a_torch_file_that_was_compressed_gives_its_tensors(saved, monkeypatch):
    monkeypatch.setattr("mimic.encoders.checkpoint._MOST_UNPACKED", 0)
    weights = {"a": torch.arange(1000.0)}
    found = read_checkpoint(packed(saved(weights))).state_dicts[()]
    assert torch.equal(found["a"], weights["a"])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("new", [True, False])
def test_a_torch_file_that_is_cut_off_is_refused(saved, share, new):
    path = saved({"a": torch.rand(500)}, _use_new_zipfile_serialization=new)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match="cut off or damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_safetensors_file_that_is_cut_off_is_refused(tmp_path, share):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.rand(500)}, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        read_checkpoint(path)


def test_a_file_without_tensors_is_refused(saved):
    with pytest.raises(InputError, match="holds no tensors"):
        read_checkpoint(saved({"epoch": 3}))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_checkpoint(tmp_path / "a.pth")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_checkpoint(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "a.pth"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # whoever reads gets zeros, and does not hang this test
    os.write(writer, bytes(1 << 15))
    with pytest.raises(InputError, match="a folder, a pipe or a device"):
        read_checkpoint(path)
    os.close(writer)
