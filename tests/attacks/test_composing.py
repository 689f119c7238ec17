import pytest
import torch

from mimic.attacks.composing import (
    check_pictures,
    half_sizes,
    joined,
    lay,
    rectangle_of,
    required_rectangle_of,
    resized,
    sampled,
)
from mimic.attacks.layout import Box
from mimic.attacks.triggers import Patch, Scattered, parse_trigger
from mimic.errors import InputError

PATCH = Patch(height=2, width=3, row=1, column=1, colour=(200, 100, 0))


def test_the_rectangle_of_a_patch_is_the_patch():
    assert rectangle_of(PATCH) == PATCH


def test_the_rectangle_of_a_scattered_patch_has_its_content():
    scattered = Scattered(rectangle=PATCH)
    assert torch.equal(rectangle_of(scattered).content, PATCH.content)


def test_a_trigger_on_the_whole_image_has_no_rectangle(picture):
    assert rectangle_of(parse_trigger(f"blend:{picture}@0.2")) is None


def test_a_rectangle_that_is_required_and_missing_is_an_error(picture):
    with pytest.raises(InputError, match=r"Foo pastes a rectangle .* trigger 'blend:"):
        required_rectangle_of(parse_trigger(f"blend:{picture}@0.2"), attack="Foo")


def test_opaque_content_replaces_what_was_there_and_nothing_else(digits):
    picture = digits[0].clone()
    lay(PATCH.content, picture, Box(top=5, left=7, height=2, width=3))
    expected = digits[0].clone()
    expected[:, 5:7, 7:10] = PATCH.content
    assert torch.equal(picture, expected)


def test_content_is_mixed_in_by_its_opacity():
    picture = torch.full((3, 2, 3), 100, dtype=torch.uint8)
    lay(PATCH.content, picture, Box(top=0, left=0, height=2, width=3), opacity=0.8)
    assert picture[:, 0, 0].tolist() == [180, 100, 20]


def test_opacity_may_differ_from_pixel_to_pixel():
    picture = torch.zeros(3, 2, 3, dtype=torch.uint8)
    opacity = torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]])
    lay(PATCH.content, picture, Box(top=0, left=0, height=2, width=3), opacity=opacity)
    assert picture[0].tolist() == [[0, 100, 200], [200, 100, 0]]


def test_pictures_of_the_right_size_are_not_touched(digits):
    assert torch.equal(resized(digits[:2], (16, 16)), digits[:2])


def test_a_plain_picture_stays_plain_whatever_its_size():
    plain = torch.tensor([255, 128, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 9, 5)
    assert torch.equal(resized(plain, (4, 11)), plain[:, :, :1, :1].expand(1, 3, 4, 11))


@pytest.mark.parametrize(
    ("dim", "halves"), [(0, ((7, 16), (8, 16))), (1, ((15, 8), (15, 8)))], ids=["rows", "columns"]
)
def test_halves_make_up_the_whole(dim, halves):
    assert half_sizes((15, 16), dim) == halves


@pytest.mark.parametrize(("dim", "row", "column"), [(0, 7, 0), (1, 0, 8)])
def test_joined_pictures_meet_in_the_middle_and_do_not_mix(dim, row, column):
    black = torch.zeros(1, 3, 6, 6, dtype=torch.uint8)
    white = torch.full((1, 3, 40, 9), 255, dtype=torch.uint8)
    expected = torch.zeros(1, 3, 15, 16, dtype=torch.uint8)
    expected[:, :, row:, column:] = 255
    assert torch.equal(joined(black, white, (15, 16), dim=dim), expected)


def test_sampled_rows_come_from_all_of_them():
    generator = torch.Generator().manual_seed(0)
    assert set(sampled(torch.tensor([3, 5, 8]), 60, generator).tolist()) == {3, 5, 8}


@pytest.mark.parametrize(
    "pictures",
    [
        torch.zeros(1, 3, 4, 4),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
        torch.zeros(1, 1, 4, 4, dtype=torch.uint8),
        torch.zeros(0, 3, 4, 4, dtype=torch.uint8),
    ],
    ids=["floats", "no batch", "grey", "none"],
)
def test_pictures_of_another_kind_are_refused_by_name(pictures):
    with pytest.raises(InputError, match="things must be uint8"):
        check_pictures(pictures, "things")
