import os
import subprocess
import sys
from pathlib import Path

import pytest

from mimic.errors import InputError
from mimic.images.source import open_images


@pytest.mark.parametrize(
    "source", ["imagenet", "no/such/folder", "no/such/folder:train", "x" * 999]
)
def test_what_is_not_there_is_refused_and_the_names_listed(source):
    with pytest.raises(InputError, match="digits, cifar10, stl10, svhn, gtsrb"):
        open_images(source)


def test_empty_source_is_refused():
    with pytest.raises(InputError, match="is empty"):
        open_images("")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(InputError, match=r"neither a folder nor an \.npz, \.parquet, \.zip"):
        open_images(tmp_path / "a.doc")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("suffix", ["npz", "parquet", "zip", "tar", "txt", "csv"])
def test_pipes_are_refused_and_not_waited_for(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a.{suffix}")
    with pytest.raises(InputError, match="no ordinary file"):
        open_images(tmp_path / f"a.{suffix}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("suffix", ["parquet", "tar"])
def test_pipes_in_a_folder_of_shards_are_refused_too(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a.{suffix}")
    with pytest.raises(InputError, match="no ordinary file"):
        open_images(tmp_path)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar.zst"])
def test_archives_that_are_compressed_as_a_whole_are_refused_with_a_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match=r"uncompress it to a plain \.tar first"):
        open_images(tmp_path / name)


def test_capital_suffixes_are_understood(tmp_path, save_images):
    save_images(1)
    (tmp_path / "LIST.TXT").write_text("images/0.png")
    assert len(open_images(tmp_path / "LIST.TXT")) == 1


def test_file_has_no_split(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(InputError, match="no split 'train'"):
        open_images(f"{tmp_path}/a.npz:train")


def test_colon_without_a_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="names no split"):
        open_images(f"{tmp_path}:")


def test_folder_with_a_colon_in_its_name_is_found(tmp_path, save_images):
    save_images(1, folder="a:b")
    assert len(open_images(tmp_path / "a:b")) == 1


def test_path_is_never_taken_for_a_name(tmp_path, save_images, monkeypatch):
    save_images(2, folder="digits")
    monkeypatch.chdir(tmp_path)
    assert len(open_images(Path("digits"))) == 2


def test_home_folder_is_understood(tmp_path, save_images, monkeypatch):
    save_images(1)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(open_images("~/images")) == 1


@pytest.mark.parametrize(("size", "expected"), [(5, (5, 5)), ((3, 9), (3, 9)), (None, (6, 8))])
def test_size_is_a_number_a_pair_or_as_found(tmp_path, save_images, size, expected):
    save_images(2)
    assert open_images(tmp_path / "images", size=size).size == expected


@pytest.mark.parametrize("size", [0, -3, (4, 0)])
def test_size_below_a_pixel_is_refused(size):
    with pytest.raises(InputError, match="at least 1 pixel"):
        open_images("digits", size=size)


def test_set_is_named_after_its_source(tmp_path, save_images):
    save_images(1, folder="images/train")
    assert open_images(f"{tmp_path}/images:train").name == f"{tmp_path}/images:train"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_folder_that_may_not_be_read_is_refused(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(InputError, match="cannot read the folder"):
        open_images(tmp_path)


def test_importing_the_images_imports_nothing_heavy():
    heavy = "{'kornia', 'lightning_fabric', 'matplotlib', 'pyarrow', 'sklearn', 'torchvision'}"
    code = f"import sys, mimic.images; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
