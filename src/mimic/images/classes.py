"""Two labelled sets that are compared must mean the same class by the same number."""

from dataclasses import replace

import torch

from mimic.errors import InputError
from mimic.images.imageset import ImageSet


def with_classes_of(test: ImageSet, train: ImageSet) -> ImageSet:
    """The images of `test` with their labels numbered as in `train`.

    Where both sets name their classes the names decide, so that a folder that lacks a class does
    not shift the ones after it. Otherwise the numbers are taken as they are.

    Raises:
        InputError: a set has no labels, or `test` names a class that `train` does not.
    """
    if train.labels is None or test.labels is None:
        unlabelled = (train if train.labels is None else test).name
        raise InputError(f"'{unlabelled}' has no labels; open it with labels")
    labels = test.labels
    names = train.class_names
    if names and test.class_names and names != test.class_names:
        unknown = sorted(set(test.class_names) - set(names))
        if unknown:
            raise InputError(
                f"'{test.name}' holds classes that '{train.name}' does not: {', '.join(unknown)}; "
                "name the classes alike in both"
            )
        labels = torch.tensor([names.index(name) for name in test.class_names])[labels]
    return replace(test, labels=labels, class_names=names or test.class_names)
