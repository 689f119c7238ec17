import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from mimic.errors import InputError, RunError
from mimic.images.named import DATASETS, cache_folder
from mimic.images.source import open_images


def test_every_data_set_has_a_summary_of_one_line():
    assert all(data.summary and "\n" not in data.summary for data in DATASETS.values())


def test_every_default_is_one_of_the_splits():
    assert all(data.default in data.splits for data in DATASETS.values())


def test_table_is_frozen():
    with pytest.raises(TypeError):
        DATASETS["mine"] = DATASETS["digits"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("source", "count"), [("digits", 1797), ("digits:train", 1400), ("digits:test", 397)]
)
def test_digits_have_so_many_images(source, count):
    assert len(open_images(source)) == count


def test_digits_are_16_pixels_wide_by_default():
    assert open_images("digits").size == (16, 16)


def test_digits_grey_levels_are_scaled_from_16_to_255():
    from sklearn.datasets import load_digits

    pixels = open_images("digits", size=8).tensor()
    expected = torch.from_numpy(load_digits().images * 255 / 16).round()
    assert torch.equal(pixels.double(), expected[:, None].expand(-1, 3, -1, -1))


def test_digits_splits_are_disjoint_and_whole():
    parts = [open_images(f"digits:{split}", size=8).tensor() for split in ("train", "test")]
    both = {image.numpy().tobytes() for part in parts for image in part}
    everything = {image.numpy().tobytes() for image in open_images("digits", size=8).tensor()}
    assert both == everything
    assert len(parts[0]) + len(parts[1]) == 1797


def test_digits_splits_hold_the_classes_in_equal_shares():
    train, test = (
        torch.bincount(open_images(f"digits:{split}", labels=True).labels)
        for split in ("train", "test")
    )
    whole = train + test
    assert torch.allclose(train / whole, torch.tensor(1400 / 1797), atol=0.005)


def test_digits_labels_belong_to_their_images():
    from sklearn.datasets import load_digits

    loaded = load_digits()
    known = {
        (image * 255 / 16).round().astype(np.uint8).tobytes(): label
        for image, label in zip(loaded.images, loaded.target, strict=True)
    }
    images = open_images("digits:test", size=8, labels=True)
    found = [known[image[0].numpy().tobytes()] for image in images.tensor()]
    assert found == images.labels.tolist()


def test_split_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="no split 'dev'; write one of 'digits:all'"):
        open_images("digits:dev")


def test_missing_torchvision_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(InputError, match=r"pip install 'mimic-purify\[hub\]'"):
        open_images("cifar10")


class FakeDataset:
    """Stands in for any of torchvision's classes and remembers how it was called."""

    calls: ClassVar[list[dict]] = []
    classes = ("ape", "mule")

    def __init__(self, root, *, download, **settings):
        print("Files already downloaded and verified")
        self.calls.append({"root": root, "download": download, **settings})

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index >= 3:
            raise IndexError
        return Image.new("RGB", (5 + index, 5), (index, 0, 0)), index % 2


class FakeUnlabelled(FakeDataset):
    labels = np.array([-1, -1, -1])


@pytest.fixture
def torchvision(monkeypatch, tmp_path):
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path))
    monkeypatch.setattr(FakeDataset, "calls", [])
    module = ModuleType("torchvision")
    names = dict.fromkeys(("CIFAR10", "SVHN", "GTSRB"), FakeDataset) | {"STL10": FakeUnlabelled}
    module.datasets = SimpleNamespace(**names)
    monkeypatch.setitem(sys.modules, "torchvision", module)
    return module


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        ("cifar10", {"train": True}),
        ("cifar10:test", {"train": False}),
        ("stl10:unlabeled", {"split": "unlabeled"}),
        ("svhn:extra", {"split": "extra"}),
        ("gtsrb:test", {"split": "test"}),
    ],
)
def test_splits_are_spelled_as_torchvision_does(torchvision, tmp_path, source, settings):
    open_images(source, size=5)
    root = str(tmp_path / source.partition(":")[0])
    assert FakeDataset.calls == [{"root": root, "download": True, **settings}]


def test_downloaded_labels_and_class_names_are_read(torchvision):
    images = open_images("gtsrb", size=5, labels=True)
    assert (images.labels.tolist(), images.class_names) == ([0, 1, 0], ("ape", "mule"))


def test_splits_without_labels_are_refused_if_they_are_asked_for(torchvision):
    with pytest.raises(InputError, match="'stl10:unlabeled' has no labels"):
        open_images("stl10:unlabeled", labels=True)


def test_chatter_of_torchvision_stays_off_standard_output(torchvision, capsys):
    open_images("svhn", size=5)
    assert capsys.readouterr().out == ""


def test_failed_download_is_a_run_error(torchvision):
    def fail(*_args, **_settings):
        raise OSError("no route to host")

    torchvision.datasets.SVHN = fail
    with pytest.raises(RunError, match="cannot download 'svhn'"):
        open_images("svhn")


def test_cache_lies_below_the_home_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("MIMIC_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "mimic"
