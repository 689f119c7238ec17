import pytest
import torch

from mimic.attacks.layout import Box, central, crop_survival, pick

SIZE = (32, 32)
WHOLE = Box(top=0, left=0, height=32, width=32)
SQUARE = (1.0, 1.0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_boxes_that_share_a_pixel_overlap():
    box = Box(top=0, left=0, height=4, width=4)
    assert box.overlaps(Box(top=3, left=3, height=1, width=9))


@pytest.mark.parametrize(("top", "left"), [(4, 0), (0, 4), (9, 9)])
def test_boxes_that_touch_do_not_overlap(top, left):
    box = Box(top=0, left=0, height=4, width=4)
    assert not box.overlaps(Box(top=top, left=left, height=4, width=4))


def test_a_scaled_box_covers_all_that_the_box_did():
    box = Box(top=1, left=3, height=5, width=30)
    assert box.scaled((10, 64), (32, 32)) == Box(top=3, left=1, height=17, width=16)


def test_a_box_that_is_scaled_to_whole_pixels_is_not_rounded():
    third = Box(top=0, left=1, height=3, width=1)
    assert third.scaled((3, 3), (96, 96)) == Box(top=0, left=32, height=96, width=32)


def test_a_central_place_keeps_both_margins_and_takes_every_value_between(generator):
    places = {central((10, 30), 4, 6, generator) for _ in range(200)}
    assert places == {14, 15, 16, 17, 18, 19, 20}


def test_where_the_margins_leave_no_choice_the_place_is_the_middle(generator):
    assert central((16, 32), 7, 8, generator) == 20


def test_every_item_is_picked(generator):
    assert {pick("abc", generator) for _ in range(100)} == set("abc")


def test_both_views_show_most_of_the_image_if_both_areas_exceed_one_half(generator):
    # Areas are uniform in [0.2, 1] where the crops are square: (0.5 / 0.8) squared.
    found = crop_survival(SIZE, WHOLE, WHOLE, ratio=SQUARE, pairs=100_000)
    assert found == pytest.approx(0.390625, abs=0.008)


def test_crops_of_a_quarter_never_miss_the_centre():
    # A square crop of a quarter of the area is half as wide as the image.
    centre = Box(top=15, left=15, height=2, width=2)
    assert crop_survival(SIZE, centre, centre, min_scale=0.25001, ratio=SQUARE) == 1


def test_whole_images_show_everything():
    corner = Box(top=0, left=0, height=1, width=1)
    assert crop_survival((20, 20), corner, WHOLE.scaled(SIZE, (20, 20)), min_scale=1.0) == 1


def test_a_wide_image_without_a_fitting_crop_shows_its_centre():
    # All of the area at a ratio of at most 4/3 does not fit; the largest central crop is 8 x 10.7.
    size = (8, 32)
    middle = Box(top=0, left=11, height=8, width=10)
    beside = Box(top=0, left=0, height=8, width=10)
    assert crop_survival(size, middle, middle, min_scale=1.0) == 1
    assert crop_survival(size, beside, middle, min_scale=1.0) == 0


def test_the_order_of_the_boxes_is_of_no_importance():
    one, other = Box(top=2, left=3, height=8, width=8), Box(top=0, left=16, height=32, width=16)
    assert crop_survival(SIZE, one, other) == crop_survival(SIZE, other, one)


def test_a_patch_in_the_corner_is_seldom_in_both_views():
    centre, corner = (Box(top=at, left=at, height=8, width=8) for at in (12, 24))
    assert crop_survival(SIZE, corner, corner) < 0.2 < 0.9 < crop_survival(SIZE, centre, centre)


def test_the_estimate_is_that_of_its_seed():
    box = Box(top=2, left=3, height=8, width=8)
    estimates = [crop_survival(SIZE, box, box, seed=seed) for seed in (0, 0, 1)]
    assert estimates[0] == estimates[1] != estimates[2]


def test_random_numbers_of_others_are_left_alone():
    before = torch.random.get_rng_state()
    crop_survival(SIZE, WHOLE, WHOLE)
    assert torch.equal(before, torch.random.get_rng_state())
