import numpy as np
import pytest
import torch

from mimic.errors import InputError
from mimic.images.source import open_images


def pixels(arrays) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def test_images_come_in_the_order_of_the_lines(tmp_path, save_images):
    arrays = save_images(3)
    (tmp_path / "list.txt").write_text("images/2.png\nimages/0.png\n")
    images = open_images(tmp_path / "list.txt")
    assert torch.equal(images.tensor(), pixels([arrays[2], arrays[0]]))


@pytest.mark.parametrize(
    "text", ["\n\nimages/0.png\n \n", "images/0.png\r\n", "\ufeffimages/0.png"]
)
def test_blank_lines_line_ends_and_byte_order_marks_are_fine(tmp_path, save_images, text):
    save_images(1)
    (tmp_path / "list.txt").write_bytes(text.encode())
    assert len(open_images(tmp_path / "list.txt")) == 1


def test_absolute_paths_are_understood(tmp_path, save_images):
    save_images(1)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text(f"{tmp_path}/images/0.png")
    assert len(open_images(tmp_path / "lists" / "list.txt")) == 1


def test_paths_may_hold_spaces_and_commas(tmp_path, save_images):
    save_images(1, folder="a, b")
    (tmp_path / "list.txt").write_text("a, b/0.png")
    assert len(open_images(tmp_path / "list.txt")) == 1


def test_files_that_are_not_there_are_skipped_and_named(tmp_path, save_images):
    save_images(10)
    lines = [f"images/{index}.png" for index in range(11)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    (skipped,) = open_images(tmp_path / "list.txt").skipped
    assert skipped == "images/10.png: cannot be opened: No such file or directory"


def test_zero_bytes_in_a_path_are_a_broken_image(tmp_path, save_images):
    save_images(10)
    lines = [f"images/{index}.png" for index in range(10)]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "a\0b.png"]))
    (skipped,) = open_images(tmp_path / "list.txt").skipped
    assert skipped.startswith(r"a\x00b.png: cannot be opened")


def test_table_gives_labels_in_words(tmp_path, save_images):
    save_images(2)
    (tmp_path / "list.csv").write_text("path,label\nimages/0.png,mule\nimages/1.png,ape\n")
    images = open_images(tmp_path / "list.csv", labels=True)
    assert (images.labels.tolist(), images.class_names) == ([1, 0], ("ape", "mule"))


def test_table_gives_labels_in_numbers(tmp_path, save_images):
    save_images(2)
    (tmp_path / "list.csv").write_text("label, path, note\n3, images/0.png, x\n0, images/1.png,\n")
    assert open_images(tmp_path / "list.csv", labels=True).labels.tolist() == [3, 0]


def test_table_without_labels_will_do_where_none_are_asked_for(tmp_path, save_images):
    save_images(2)
    (tmp_path / "list.csv").write_text("path\nimages/0.png\n\nimages/1.png\n")
    assert len(open_images(tmp_path / "list.csv")) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "images/0.png"),
        ("list.csv", "path\nimages/0.png"),
        ("list.csv", "path,label\nimages/0.png,1\nimages/1.png\n"),
    ],
)
def test_labels_that_are_asked_for_must_be_there(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"whose first line is 'path,label'"):
        open_images(tmp_path / name, labels=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("images/0.png,1\n", "must name the columns, 'path' among them"),
        ("", "it says nothing"),
        ("path,label\n", "names no images"),
        ("path,label\n,ape\n", "line 2 of .* names no file"),
        ('path\n"images/0.png\n', "is not CSV"),
    ],
)
def test_tables_that_are_not_understood_are_refused(tmp_path, text, why):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=why):
        open_images(tmp_path / "list.csv")


def test_empty_list_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(InputError, match="names no images"):
        open_images(tmp_path / "list.txt")


def test_binary_file_is_no_list(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\x89PNG\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        open_images(tmp_path / "list.txt")
