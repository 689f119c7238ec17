import json
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mimic.errors import InputError
from mimic.images.source import open_images

DATA = Path(os.environ.get("MIMIC_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not (DATA / "cifar10").is_dir(), reason=f"no cifar10 in {DATA} (set MIMIC_DATA)"
)


def png(level: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (4, 3), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def write(
    path: Path,
    blobs: list[bytes | None],
    labels: list | None = None,
    *,
    image: str = "image",
    class_names: list[str] | None = None,
) -> Path:
    columns: dict = {image: [{"bytes": blob, "path": f"{i}.png"} for i, blob in enumerate(blobs)]}
    if labels is not None:
        columns["label"] = labels
    table = pa.table(columns)
    if class_names is not None:
        features = {"label": {"names": class_names, "_type": "ClassLabel"}}
        note = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": note})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)
    return path


def levels(images) -> list[int]:
    return images.tensor()[:, 0, 0, 0].tolist()


def test_images_come_in_the_order_of_the_rows(tmp_path):
    path = write(tmp_path / "a.parquet", [png(n) for n in (5, 1, 9)])
    assert levels(open_images(path)) == [5, 1, 9]


def test_labels_and_their_names_are_read(tmp_path):
    path = write(tmp_path / "a.parquet", [png(1), png(2)], [1, 0], class_names=["ape", "mule"])
    images = open_images(path, labels=True)
    assert (images.labels.tolist(), images.class_names) == ([1, 0], ("ape", "mule"))


def test_labels_in_words_are_numbered_in_sorted_order(tmp_path):
    path = write(tmp_path / "a.parquet", [png(1), png(2)], ["mule", "ape"])
    images = open_images(path, labels=True)
    assert (images.labels.tolist(), images.class_names) == ([1, 0], ("ape", "mule"))


def test_labels_are_absent_unless_asked_for(tmp_path):
    assert open_images(write(tmp_path / "a.parquet", [png(1)], [0])).labels is None


def test_missing_labels_are_refused_if_they_are_asked_for(tmp_path):
    with pytest.raises(InputError, match="has no labels"):
        open_images(write(tmp_path / "a.parquet", [png(1)]), labels=True)


@pytest.mark.parametrize("label", [-1, None, 0.5])
def test_labels_that_are_no_class_are_refused(tmp_path, label):
    path = write(tmp_path / "a.parquet", [png(1), png(2)], [label, label])
    with pytest.raises(InputError, match="integers from 0 up"):
        open_images(path, labels=True)


def test_column_may_be_called_img(tmp_path):
    assert len(open_images(write(tmp_path / "a.parquet", [png(1)], image="img"))) == 1


def test_column_may_be_plain_bytes(tmp_path):
    pq.write_table(pa.table({"image": [png(8), png(3)]}), tmp_path / "a.parquet")
    assert levels(open_images(tmp_path / "a.parquet")) == [8, 3]


@pytest.mark.parametrize("columns", [{"text": ["a"]}, {"image": ["a"]}, {"image": [1]}])
def test_files_without_image_bytes_are_refused_and_their_columns_named(tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"its columns are {next(iter(columns))}"):
        open_images(tmp_path / "a.parquet")


@pytest.mark.parametrize("twice", ["image", "label"])
def test_two_columns_of_one_name_are_refused(tmp_path, twice):
    columns = [("image", [png(1)]), ("label", [0]), (twice, [png(1) if twice == "image" else 0])]
    arrays, names = [pa.array(values) for _, values in columns], [name for name, _ in columns]
    pq.write_table(pa.table(arrays, names=names), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"several columns '{twice}'"):
        open_images(tmp_path / "a.parquet", labels=True)


@pytest.mark.parametrize(
    "labels", [pa.array([1, 2**63], pa.uint64()), [1, 2**31], [1, -1], [1, None], [0.5, 1.0]]
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels):
    path = write(tmp_path / "a.parquet", [png(1), png(2)], labels)
    with pytest.raises(InputError, match="must hold integers from 0 up, below 2147483648"):
        open_images(path, labels=True)


def test_largest_label_is_a_label(tmp_path):
    path = write(tmp_path / "a.parquet", [png(1)], [2**31 - 1])
    assert open_images(path, labels=True).labels.tolist() == [2**31 - 1]


def test_class_without_a_name_beside_named_ones_is_refused(tmp_path):
    path = write(tmp_path / "a.parquet", [png(1), png(2)], [0, 1], class_names=["ape"])
    with pytest.raises(InputError, match="names 1 classes and has the label 1"):
        open_images(path, labels=True)


def test_endless_metadata_names_no_classes(tmp_path):
    table = pa.table({"image": [png(1)], "label": [0]})
    note = {"huggingface": "[" * 100_000}
    pq.write_table(table.replace_schema_metadata(note), tmp_path / "a.parquet")
    assert open_images(tmp_path / "a.parquet", labels=True).class_names == ()


@pytest.mark.parametrize(
    ("blob", "reason"),
    [(None, "no bytes"), (b"text", "not an image"), (png(1)[:50], "damaged")],
    ids=["absent", "text", "torn"],
)
def test_broken_rows_are_skipped_and_named(tmp_path, blob, reason):
    path = write(tmp_path / "a.parquet", [*(png(n) for n in range(10)), blob])
    (skipped,) = open_images(path).skipped
    assert skipped.startswith("a.parquet row 10 (10.png): " + reason)


def test_shards_of_a_split_are_joined_in_order(tmp_path):
    write(tmp_path / "data" / "train-00001-of-00002.parquet", [png(2), png(3)], [2, 3])
    write(tmp_path / "data" / "train-00000-of-00002.parquet", [png(0), png(1)], [0, 1])
    write(tmp_path / "data" / "test-00000-of-00001.parquet", [png(9)], [9])
    images = open_images(f"{tmp_path}:train", labels=True)
    assert (levels(images), images.labels.tolist()) == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_split_may_be_a_folder_of_numbered_files(tmp_path):
    write(tmp_path / "train" / "0000.parquet", [png(1)])
    write(tmp_path / "test" / "0000.parquet", [png(2)])
    assert levels(open_images(f"{tmp_path}:test")) == [2]


def test_only_split_needs_no_name(tmp_path):
    write(tmp_path / "train.parquet", [png(1)])
    assert len(open_images(tmp_path)) == 1


def test_one_of_several_splits_must_be_named(tmp_path):
    write(tmp_path / "train.parquet", [png(1)])
    write(tmp_path / "test.parquet", [png(1)])
    with pytest.raises(InputError, match=r"several splits; write one of .*:test', .*:train'"):
        open_images(tmp_path)


def test_split_that_does_not_exist_is_refused(tmp_path):
    write(tmp_path / "train.parquet", [png(1)])
    with pytest.raises(InputError, match=r"no split 'dev'; write one of .*:train'"):
        open_images(f"{tmp_path}:dev")


def test_missing_shard_is_refused(tmp_path):
    write(tmp_path / "train-00000-of-00003.parquet", [png(1)])
    with pytest.raises(InputError, match="should have 3 files and has 1"):
        open_images(f"{tmp_path}:train")


def test_files_of_different_columns_are_refused(tmp_path):
    write(tmp_path / "train-00000-of-00002.parquet", [png(1)])
    write(tmp_path / "train-00001-of-00002.parquet", [png(1)], [0])
    with pytest.raises(InputError, match="give files of one dataset"):
        open_images(f"{tmp_path}:train")


def test_file_that_is_not_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(InputError, match="as Parquet"):
        open_images(tmp_path / "a.parquet")


def test_damaged_file_is_refused(tmp_path):
    noise = np.random.default_rng(0)
    path = write(tmp_path / "a.parquet", [noise.bytes(5_000) for _ in range(4)])
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(InputError):
        open_images(path)


def test_file_without_rows_is_refused(tmp_path):
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="holds no images"):
        open_images(tmp_path / "a.parquet")


def test_streamed_equals_held_bit_for_bit(tmp_path):
    blobs = [png(n) for n in range(20)]
    blobs[7] = None
    path = write(tmp_path / "a.parquet", blobs)
    held, streamed = open_images(path), open_images(path, memory_limit=0)
    order = torch.tensor([18, 0, 7, 7])
    assert streamed.streamed
    assert torch.equal(streamed.batch(order), held.batch(order))


@needs_data
def test_cifar10_test_split_is_balanced_and_whole():
    images = open_images(f"{DATA}/cifar10:test", labels=True)
    assert torch.bincount(images.labels).tolist() == [1000] * 10
    assert (images.size, images.skipped, len(images.class_names)) == ((32, 32), (), 10)


@needs_data
def test_cifar10_streams_the_pixels_that_it_would_hold():
    source = f"{DATA}/cifar10:test"
    held, streamed = open_images(source), open_images(source, memory_limit=0)
    order = torch.arange(0, 10_000, 97)
    assert torch.equal(streamed.batch(order), held.batch(order))
