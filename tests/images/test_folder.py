import os

import numpy as np
import pytest
import torch
from PIL import Image

from mimic.errors import InputError
from mimic.images.decode import BrokenImageError
from mimic.images.folder import folder_pictures, list_files, read_picture
from mimic.images.source import open_images


def as_tensor(arrays):
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def test_images_come_in_the_order_of_their_paths(tmp_path, save_images):
    arrays = save_images(4)
    assert torch.equal(open_images(tmp_path / "images").tensor(), as_tensor(arrays))


def test_folders_are_searched_however_deep(tmp_path, save_images):
    save_images(2, folder="images/a/b/c")
    save_images(1)
    assert len(open_images(tmp_path / "images")) == 3


def test_sub_folders_are_classes_in_sorted_order(tmp_path, save_images):
    for name, count in (("zebra", 1), ("ape", 2), ("mule", 1)):
        save_images(count, folder=f"images/{name}")
    images = open_images(tmp_path / "images", labels=True)
    assert (images.class_names, images.labels.tolist()) == (("ape", "mule", "zebra"), [0, 0, 1, 2])


def test_labels_are_absent_unless_asked_for(tmp_path, save_images):
    save_images(1, folder="images/ape")
    assert open_images(tmp_path / "images").labels is None


def test_images_outside_of_sub_folders_have_no_label(tmp_path, save_images):
    save_images(1)
    with pytest.raises(InputError, match=r"'0\.png' .* lies in no sub-folder"):
        open_images(tmp_path / "images", labels=True)


def test_splits_are_not_mistaken_for_classes(tmp_path, save_images):
    save_images(1, folder="images/train/ape")
    save_images(1, folder="images/test/ape")
    with pytest.raises(InputError, match="images:test'"):
        open_images(tmp_path / "images", labels=True)


def test_sub_folder_can_be_picked_as_a_split(tmp_path, save_images):
    save_images(1, folder="images/train/ape")
    save_images(2, folder="images/test/ape")
    assert len(open_images(f"{tmp_path}/images:test", labels=True)) == 2


def test_sub_folder_that_does_not_exist_is_refused(tmp_path, save_images):
    save_images(1, folder="images/train")
    with pytest.raises(InputError, match=r"no split 'tset'.*train"):
        open_images(f"{tmp_path}/images:tset")


def test_text_file_under_an_image_name_is_skipped_and_named(tmp_path, save_images):
    save_images(9)
    (tmp_path / "images" / "note.png").write_text("buy milk")
    (skipped,) = open_images(tmp_path / "images").skipped
    assert skipped.startswith("note.png: not an image")


def test_thirty_percent_of_broken_images_are_refused(tmp_path, save_images):
    save_images(7)
    for index in range(3):
        (tmp_path / "images" / f"bad{index}.jpg").write_bytes(b"\xff\xd8 torn")
    with pytest.raises(InputError, match="3 of 10 images"):
        open_images(tmp_path / "images")


def test_other_and_hidden_files_are_not_counted(tmp_path, save_images):
    save_images(1)
    (tmp_path / "images" / "README.md").write_text("hello")
    (tmp_path / "images" / "._0.png").write_text("left behind by an archive")
    assert open_images(tmp_path / "images").skipped == ()


def test_suffixes_may_be_in_capitals(tmp_path, save_images):
    save_images(1)
    (tmp_path / "images" / "0.png").rename(tmp_path / "images" / "0.PNG")
    assert len(open_images(tmp_path / "images")) == 1


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        open_images(tmp_path)


def test_grey_transparent_and_rgb_files_may_lie_side_by_side(tmp_path):
    for index, mode in enumerate(("L", "RGBA", "RGB", "CMYK")):
        Image.new(mode, (5, 4)).save(tmp_path / f"{index}.tif")
    assert open_images(tmp_path).tensor().shape == (4, 3, 4, 5)


def test_links_back_to_a_parent_come_to_an_end(tmp_path, save_images):
    save_images(1)
    (tmp_path / "images" / "loop").symlink_to(tmp_path / "images")
    assert len(list_files(tmp_path / "images")) == 1


def test_links_to_folders_elsewhere_are_followed(tmp_path, save_images):
    save_images(2, folder="elsewhere")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "ape").symlink_to(tmp_path / "elsewhere")
    assert len(open_images(tmp_path / "images", labels=True)) == 2


def test_file_that_vanishes_is_a_broken_image(tmp_path, save_images):
    save_images(10)
    files = list_files(tmp_path / "images")
    source = folder_pictures(tmp_path / "images", files, name="x")
    (tmp_path / "images" / files[4]).unlink()
    with pytest.raises(Exception, match="cannot be opened"):
        source.picture(4)


def test_pipe_under_an_image_name_is_a_broken_image(tmp_path, save_images):
    save_images(10)
    os.mkfifo(tmp_path / "images" / "pipe.png")
    (skipped,) = open_images(tmp_path / "images").skipped
    assert skipped == "pipe.png: not an ordinary file"


def test_files_that_are_too_large_are_not_read(tmp_path, save_images, monkeypatch):
    save_images(1)
    size = (tmp_path / "images" / "0.png").stat().st_size
    monkeypatch.setattr("mimic.images.folder.MAX_BYTES", size - 1)
    with pytest.raises(BrokenImageError, match=f"{size} bytes are more than {size - 1}"):
        read_picture(tmp_path / "images" / "0.png")


def test_names_cannot_steer_the_terminal(tmp_path, save_images):
    save_images(10)
    (tmp_path / "images" / "\x1b[31m\n.png").write_text("buy milk")
    (skipped,) = open_images(tmp_path / "images").skipped
    assert skipped.startswith(r"\x1b[31m\n.png: not an image")
