"""Classes from what sources write down: words or numbers, or the sub-folder an image lies in."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from mimic.errors import InputError
from mimic.text import printable

_SPLIT_NAMES = frozenset({"train", "test", "val", "valid", "validation"})
_WHOLE_NUMBER = re.compile(r"-?\d{1,9}")

LABELS_END = 1 << 31
"""Labels are below it: what counts so far is no class."""

Labels = tuple[Tensor, tuple[str, ...]]
"""Class of each image, shape (n,), int64, and the names of the classes where they are known."""


def number_words(words: Sequence[str]) -> Labels:
    """Words are numbered in sorted order."""
    names = tuple(sorted(set(words)))
    number = {name: index for index, name in enumerate(names)}
    return torch.tensor([number[word] for word in words], dtype=torch.int64), names


def labels_from_text(texts: Sequence[str], *, name: str) -> Labels:
    """Labels that were written as text: all of them whole numbers, else all of them words.

    Args:
        texts: one for each image.
        name: the name of the source in messages.

    Raises:
        InputError: a number is below 0, or a text is empty.
    """
    if not all(texts):
        raise InputError(f"an image of '{name}' has an empty label; label every image")
    if not all(_WHOLE_NUMBER.fullmatch(text) for text in texts):
        return number_words(texts)
    numbers = torch.tensor([int(text) for text in texts], dtype=torch.int64)
    if (numbers < 0).any():
        raise InputError(
            f"the labels of '{name}' must be integers from 0 up or names, and one is "
            f"{int(numbers.min())}; give labelled images"
        )
    return numbers, ()


def labels_from_folders(titles: Sequence[str], *, name: str) -> Labels:
    """The first folder of each path is its class; classes are numbered in sorted order.

    Args:
        titles: paths with `/`, counted from the source.
        name: the name of the source in messages.

    Raises:
        InputError: an image lies in no folder, or the folders are called like splits.
    """
    outside = next((title for title in titles if "/" not in title), None)
    if outside is not None:
        raise InputError(
            f"labels are needed, and '{printable(outside)}' in '{name}' lies in no sub-folder; "
            "put the images of each class into a sub-folder of its own"
        )
    labels, names = number_words([title.partition("/")[0] for title in titles])
    if _SPLIT_NAMES.issuperset(names):
        raise InputError(
            f"the sub-folders of '{name}' are splits ({', '.join(names)}) and not classes; "
            f"write '{name}:{names[0]}'"
        )
    return labels, names
