import pytest

from mimic.errors import InputError
from mimic.images.labels import labels_from_folders, labels_from_text, number_words


def test_words_are_numbered_in_sorted_order():
    labels, names = number_words(["mule", "ape", "mule"])
    assert (labels.tolist(), names) == ([1, 0, 1], ("ape", "mule"))


def test_whole_numbers_stay_what_they_are():
    labels, names = labels_from_text(["7", "0", "007"], name="x")
    assert (labels.tolist(), names) == ([7, 0, 7], ())


def test_one_word_among_numbers_makes_all_of_them_words():
    labels, names = labels_from_text(["7", "ape", "10"], name="x")
    assert (labels.tolist(), names) == ([1, 2, 0], ("10", "7", "ape"))


def test_numbers_too_large_for_a_class_are_words():
    assert labels_from_text(["9" * 30], name="x")[1] == ("9" * 30,)


@pytest.mark.parametrize(
    ("texts", "why"), [(["1", "-1"], "and one is -1"), (["a", ""], "empty label")]
)
def test_labels_that_are_no_class_are_refused(texts, why):
    with pytest.raises(InputError, match=why):
        labels_from_text(texts, name="x")


def test_first_folder_is_the_class():
    labels, names = labels_from_folders(["b/1.png", "a/x/1.png", "b/2.png"], name="x")
    assert (labels.tolist(), names) == ([1, 0, 1], ("a", "b"))
