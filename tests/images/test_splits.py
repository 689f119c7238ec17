from pathlib import Path

import pytest

from mimic.errors import InputError
from mimic.images.splits import split_files


def names(files: list[str], split: str | None) -> list[str]:
    chosen = split_files([Path(file) for file in files], split, name="x")
    return [path.as_posix() for path in chosen]


@pytest.mark.parametrize(
    "files",
    [
        ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
        ["train-00000-of-00002-0a1b.parquet", "train-00001-of-00002-9f9f.parquet"],
        ["train-000000.tar", "train-000001.tar"],
        ["train/0000.tar", "train/0001.tar"],
    ],
)
def test_shards_of_a_split_are_found_and_sorted(files):
    assert names([*files[::-1], "test.tar"], "train") == files


def test_dashes_in_the_name_of_a_split_belong_to_it():
    assert names(["pets-train-01.tar", "pets-val-01.tar"], "pets-val") == ["pets-val-01.tar"]


def test_only_split_needs_no_name():
    assert names(["a-0.tar", "a-1.tar"], None) == ["a-0.tar", "a-1.tar"]


def test_one_of_several_splits_must_be_named():
    with pytest.raises(InputError, match="several splits; write one of 'x:a', 'x:b'"):
        names(["a-0.tar", "b-0.tar"], None)


def test_missing_shards_are_noticed_where_the_names_count_them():
    with pytest.raises(InputError, match="should have 3 files and has 1"):
        names(["a-0-of-3.tar"], "a")


def test_one_split_of_several_data_sets_is_refused_and_their_folders_named():
    with pytest.raises(InputError, match="several times; give one of the folders 'a', 'b'"):
        names(["a/train-0-of-1.parquet", "b/train-0-of-1.parquet"], "train")
