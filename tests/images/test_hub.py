import fnmatch
import sys
from io import BytesIO
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mimic.errors import InputError, RunError
from mimic.images.source import open_images


def png(level: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (4, 3), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    "data/train-00000-of-00002.parquet": 1,
    "data/train-00001-of-00002.parquet": 2,
    "data/test-00000-of-00001.parquet": 3,
    "validation/0000.parquet": 4,
}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Stands in for huggingface_hub; remembers what was downloaded."""
    module = ModuleType("huggingface_hub")
    module.downloaded = []

    def snapshot_download(repository, *, repo_type, allow_patterns):
        print("Fetching files")
        folder = tmp_path / repo_type / repository
        folder.mkdir(parents=True, exist_ok=True)
        for name, level in FILES.items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                module.downloaded.append(name)
                (folder / name).parent.mkdir(exist_ok=True)
                table = pa.table({"image": [{"bytes": png(level)}], "label": [level]})
                pq.write_table(table, folder / name)
        return str(folder)

    class HfFileSystem:
        """The part of the library's file system that is used."""

        def find(self, folder):
            if folder != "datasets/owner/pets":
                raise FileNotFoundError(folder)
            return [f"{folder}/{name}" for name in [*FILES, "README.md"]]

        def open(self, path, mode):
            assert mode == "rb"
            name = path.removeprefix("datasets/owner/pets/")
            module.streamed.append(name)
            buffer = BytesIO()
            level = FILES[name]
            pq.write_table(pa.table({"image": [{"bytes": png(level)}], "label": [level]}), buffer)
            return BytesIO(buffer.getvalue())

    module.streamed = []
    module.HfFileSystem = HfFileSystem
    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


def levels(images) -> list[int]:
    return images.tensor()[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("split", "expected"), [("train", [1, 2]), ("test", [3]), ("validation", [4])]
)
def test_only_the_files_of_the_split_are_downloaded_and_read(hub, split, expected):
    images = open_images(f"hf:owner/pets:{split}", labels=True)
    assert (levels(images), images.labels.tolist()) == (expected, expected)
    assert len(hub.downloaded) == len(expected)


def test_set_is_named_after_its_source(hub):
    assert open_images("hf:owner/pets:test").name == "hf:owner/pets:test"


def test_one_of_several_splits_must_be_named(hub):
    with pytest.raises(InputError, match="several splits; write one of 'hf:owner/pets:test'"):
        open_images("hf:owner/pets")


def test_split_that_does_not_exist_is_refused(hub):
    with pytest.raises(InputError, match="holds no Parquet files of a split 'dev'"):
        open_images("hf:owner/pets:dev")


def test_name_without_a_data_set_is_refused(hub):
    with pytest.raises(InputError, match="names no data set"):
        open_images("hf:")


def test_chatter_of_the_library_stays_off_standard_output(hub, capsys):
    open_images("hf:owner/pets:test")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("error", "kind"), [(ValueError, InputError), (OSError, RunError)])
def test_failed_downloads_are_explained(hub, monkeypatch, error, kind):
    def fail(*_args, **_settings):
        raise error("no route to host")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(kind, match="no route to host"):
        open_images("hf:owner/pets:test")


def test_missing_library_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'mimic-purify\[hub\]'"):
        open_images("hf:owner/pets:test")


def test_some_images_are_read_where_they_are(hub):
    images = open_images("hf:owner/pets:train@2", labels=True)
    assert sorted(levels(images)) == [1, 2]
    assert images.name == "hf:owner/pets:train@2"
    assert (hub.downloaded, sorted(hub.streamed)) == ([], sorted(FILES)[1:3])


def test_one_of_several_splits_must_be_named_to_stream(hub):
    with pytest.raises(InputError, match="'hf:owner/pets:train'"):
        open_images("hf:owner/pets@2")


@pytest.mark.parametrize("count", ["", "0", "many", "-3"])
def test_what_is_no_number_of_images_is_refused(hub, count):
    with pytest.raises(InputError, match="should end in a number of images"):
        open_images(f"hf:owner/pets:train@{count}")


def test_a_data_set_that_is_not_there_is_named(hub):
    with pytest.raises(InputError, match="no data set 'hf:owner/birds:train@2' on the hub"):
        open_images("hf:owner/birds:train@2")


def test_a_hub_out_of_reach_is_explained(hub, monkeypatch):
    class UnreachableError(Exception):
        """Not an OSError, as those of the library's client are."""

    def fail(self, path, mode):
        raise UnreachableError("no route")

    monkeypatch.setattr(hub.HfFileSystem, "open", fail)
    with pytest.raises(RunError, match="UnreachableError: no route"):
        open_images("hf:owner/pets:train@2")
