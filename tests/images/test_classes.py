import pytest
import torch

from mimic.errors import InputError
from mimic.images.classes import with_classes_of
from mimic.images.imageset import ImageSet


def labelled(labels: list[int] | None, *names: str) -> ImageSet:
    pixels = torch.zeros(len(labels or [0]), 3, 2, 2, dtype=torch.uint8)
    numbers = None if labels is None else torch.tensor(labels)
    return ImageSet.from_tensor(pixels, numbers, class_names=names, name="-".join(names) or "bare")


def test_labels_follow_the_names_of_the_training_set():
    train, test = labelled([0, 1, 2], "ape", "mule", "zebra"), labelled([0, 1, 1], "ape", "zebra")
    assert with_classes_of(test, train).labels.tolist() == [0, 2, 2]


def test_names_follow_those_of_the_training_set():
    train, test = labelled([0, 1], "ape", "mule"), labelled([0], "mule")
    assert with_classes_of(test, train).class_names == ("ape", "mule")


@pytest.mark.parametrize("names", [(), ("ape", "mule")])
def test_numbers_are_kept_where_names_agree_or_are_unknown(names):
    test = labelled([1, 0, 1], *names)
    assert with_classes_of(test, labelled([0, 1], "ape", "mule")).labels.tolist() == [1, 0, 1]


def test_class_that_the_training_set_does_not_name_is_refused():
    with pytest.raises(InputError, match="classes that 'ape-mule' does not: zebra"):
        with_classes_of(labelled([0], "zebra"), labelled([0, 1], "ape", "mule"))


def test_set_without_labels_is_refused():
    with pytest.raises(InputError, match="'bare' has no labels"):
        with_classes_of(labelled([0]), labelled(None))
