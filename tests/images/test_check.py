import numpy as np
import pytest
from PIL import Image

from mimic.images.check import check_pictures
from mimic.images.pictures import Pictures
from mimic.images.source import find_pictures


def photograph(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def check(tmp_path):
    """Checks a folder of the pictures (or bytes) that are given by name."""

    def run(**contents):
        for name, content in contents.items():
            if isinstance(content, bytes):
                (tmp_path / f"{name}.png").write_bytes(content)
            else:
                content.save(tmp_path / f"{name}.png")
        return check_pictures(find_pictures(tmp_path))[0]

    return run


def test_different_pictures_are_clean(check):
    found = check(a=photograph(1), b=photograph(2), c=photograph(3))
    assert (found.clean, found.count) == (True, 3)


def test_sizes_are_counted_as_they_are_in_the_files(check):
    found = check(a=photograph(1), b=photograph(2, (30, 20)), c=photograph(3))
    assert list(found.sizes.items()) == [((40, 40), 2), ((20, 30), 1)]


def test_broken_pictures_are_named_however_many_they_are(check):
    found = check(a=b"torn", b=b"", c=photograph(3))
    assert [line.partition(":")[0] for line in found.broken] == ["a.png", "b.png"]
    assert not found.clean


def test_source_of_broken_pictures_alone_is_reported_too(check):
    found = check(a=b"torn", b=b"torn")
    assert (len(found.broken), found.sizes, found.duplicates) == (2, {}, ())


def test_constant_pictures_are_named_and_are_no_duplicates(check):
    red, blue = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")
    found = check(a=red, b=blue, c=red, d=photograph(1))
    assert found.constant == ("a.png", "b.png", "c.png")
    assert (found.duplicates, found.near_duplicates) == ((), ())


def test_one_other_pixel_makes_a_picture_not_constant(check):
    picture = Image.new("RGB", (9, 9))
    picture.putpixel((3, 3), (0, 0, 1))
    assert check(a=picture).constant == ()


def test_same_pixels_are_duplicates_whatever_the_file_format(check, tmp_path):
    photograph(1).save(tmp_path / "z.bmp")
    found = check(a=photograph(1), b=photograph(2), c=photograph(1))
    assert found.duplicates == (("a.png", "c.png", "z.bmp"),)
    assert found.near_duplicates == ()


def test_same_pixels_in_another_shape_are_no_duplicates(check):
    pixels = np.asarray(photograph(1))
    assert check(a=photograph(1), b=Image.fromarray(pixels.reshape(20, 80, 3))).duplicates == ()


def test_scaled_copies_are_near_duplicates(check):
    found = check(a=photograph(1), b=photograph(2), c=photograph(1).resize((64, 64)))
    assert (found.duplicates, found.near_duplicates) == ((), (("a.png", "c.png"),))


def test_group_that_looks_alike_names_the_exact_copies_in_it_as_well(check):
    found = check(a=photograph(1), b=photograph(1), c=photograph(1).resize((64, 64)))
    assert found.duplicates == (("a.png", "b.png"),)
    assert found.near_duplicates == (("a.png", "b.png", "c.png"),)


def test_indices_of_the_readable_pictures_come_with_it(tmp_path, save_images):
    save_images(3)
    (tmp_path / "images" / "1.png").write_bytes(b"torn")
    assert check_pictures(find_pictures(tmp_path / "images"))[1].tolist() == [0, 2]


def test_small_handwritten_digits_are_hardly_taken_for_each_other():
    found, _ = check_pictures(find_pictures("digits:test"))
    assert sum(map(len, found.near_duplicates)) <= 2


def test_many_copies_of_one_picture_are_one_group(tmp_path):
    several = [photograph(seed) for seed in (1, 2, 1, 3)]
    source = Pictures(
        count=4_000,
        picture=lambda index: several[index % 4],
        title=str,
        name="copies",
    )
    found, _ = check_pictures(source)
    assert sorted(map(len, found.duplicates)) == [1_000, 1_000, 2_000]
