"""Data sets that go by a name: the embedded digits, and what torchvision can download."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mimic.errors import InputError, RunError
from mimic.files import ensure_folder, expanded
from mimic.images.decode import to_rgb
from mimic.images.pictures import Pictures
from mimic.libraries import import_library

DIGITS_TRAIN = 1_400
DIGITS_SIZE = (16, 16)


class Loader(Protocol):
    """Gives the pictures of a split, with labels if asked for."""

    def __call__(self, split: str, *, labels: bool) -> Pictures: ...


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set that needs no path.

    Attributes:
        summary: one line for people.
        splits: what may follow the colon.
        default: the split where none is named.
        load: how to get at a split.
    """

    summary: str
    splits: tuple[str, ...]
    default: str
    load: Loader


def named_pictures(name: str, split: str | None, *, labels: bool = False) -> Pictures:
    """The pictures of a data set in `DATASETS`, downloaded once if they are not embedded.

    Downloads live in the folder of the environment variable MIMIC_CACHE, else in ~/.cache/mimic.

    Raises:
        InputError: no such split, no labels in it, or torchvision is not installed.
        RunError: the download failed.
    """
    dataset = DATASETS[name]
    split = split or dataset.default
    if split not in dataset.splits:
        raise InputError(
            f"'{name}' has no split '{split}'; write one of "
            + ", ".join(f"'{name}:{known}'" for known in dataset.splits)
        )
    return dataset.load(split, labels=labels)


def cache_folder() -> Path:
    """Where downloads are kept: MIMIC_CACHE, else ~/.cache/mimic; created if need be.

    Raises:
        InputError: the folder cannot be written.
    """
    return ensure_folder(expanded(os.environ.get("MIMIC_CACHE") or "~/.cache/mimic"))


@cache
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """Pixels (n, 8, 8), labels (n,), and the positions of each split, in ascending order."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    loaded = load_digits()
    labels = loaded.target.astype(np.int64)
    train, test = train_test_split(
        np.arange(len(labels)), train_size=DIGITS_TRAIN, stratify=labels, random_state=0
    )
    # Grey levels of this set run from 0 to 16.
    pixels = (loaded.images * (255 / 16)).round().astype(np.uint8)
    return (
        pixels,
        labels,
        {"all": np.arange(len(labels)), "train": np.sort(train), "test": np.sort(test)},
    )


def _load_digits(split: str, *, labels: bool) -> Pictures:
    pixels, classes, splits = _digits()
    chosen = splits[split]
    return Pictures(
        count=len(chosen),
        picture=lambda index: Image.fromarray(pixels[chosen[index]]).convert("RGB"),
        title=lambda index: f"digit {chosen[index]}",
        name=f"digits:{split}",
        labels=torch.from_numpy(classes[chosen]) if labels else None,
        class_names=tuple("0123456789") if labels else (),
        default_size=DIGITS_SIZE,
        resampling=Image.Resampling.BILINEAR,
    )


def _downloaded(
    name: str, torchvision_name: str, settings: Callable[[str], dict[str, Any]]
) -> Loader:
    """A loader of one of torchvision's data sets; `settings` spells a split as torchvision does."""

    def load(split: str, *, labels: bool) -> Pictures:
        data = _torchvision(name, torchvision_name, settings(split))
        spelling = f"{name}:{split}"
        return Pictures(
            count=len(data),
            picture=lambda index: to_rgb(data[index][0]),
            title=lambda index: f"image {index}",
            name=spelling,
            labels=_labels(data, spelling) if labels else None,
            class_names=tuple(getattr(data, "classes", ())) if labels else (),
        )

    return load


def _torchvision(name: str, torchvision_name: str, settings: dict[str, Any]) -> Any:
    datasets = import_library("torchvision").datasets
    folder = cache_folder() / name
    try:
        with redirect_stdout(sys.stderr):  # standard output belongs to --json
            return getattr(datasets, torchvision_name)(str(folder), download=True, **settings)
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"cannot download '{name}' to '{folder}': {error}; check the connection, "
            "or give a folder that holds the images"
        ) from error


def _labels(data: Any, name: str) -> Tensor:
    known = getattr(data, "targets", getattr(data, "labels", None))
    values = [data[index][1] for index in range(len(data))] if known is None else known
    labels = torch.as_tensor(np.asarray(values, dtype=np.int64))
    if (labels < 0).any():
        raise InputError(f"'{name}' has no labels; choose a labelled split")
    return labels


DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        "digits": Dataset(
            summary="1,797 handwritten digits, embedded",
            splits=("all", "train", "test"),
            default="all",
            load=_load_digits,
        ),
        "cifar10": Dataset(
            summary="60,000 photographs of 10 classes, 32x32, downloaded",
            splits=("train", "test"),
            default="train",
            load=_downloaded("cifar10", "CIFAR10", lambda split: {"train": split == "train"}),
        ),
        "stl10": Dataset(
            summary="113,000 photographs, 96x96, 13,000 of them in 10 classes, downloaded",
            splits=("train", "test", "unlabeled"),
            default="train",
            load=_downloaded("stl10", "STL10", lambda split: {"split": split}),
        ),
        "svhn": Dataset(
            summary="630,420 house numbers of 10 classes, 32x32, downloaded",
            splits=("train", "test", "extra"),
            default="train",
            load=_downloaded("svhn", "SVHN", lambda split: {"split": split}),
        ),
        "gtsrb": Dataset(
            summary="39,270 traffic signs of 43 classes, many sizes, downloaded",
            splits=("train", "test"),
            default="train",
            load=_downloaded("gtsrb", "GTSRB", lambda split: {"split": split}),
        ),
    }
)
