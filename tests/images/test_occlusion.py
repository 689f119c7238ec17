import math
from collections import Counter

import pytest
import torch

from mimic.images.occlusion import KINDS, random_occlusion


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def pictures(batch=40, size=(12, 20)):
    """Images in which no two pixels are alike, and none is black, white or a primary colour."""
    return 0.25 + 0.5 * torch.rand(batch, 3, *size)


def sides(mask):
    """Height and width of what is covered in each image; a rectangle covers all of it."""
    heights = mask.amax(dim=3).sum(dim=(1, 2))
    widths = mask.amax(dim=2).sum(dim=(1, 2))
    assert torch.equal(heights * widths, mask.sum(dim=(1, 2, 3)))
    return heights.int().tolist(), widths.int().tolist()


def is_one_run(flags):
    """Whether what is set in a row of zeros and ones is without gaps."""
    padded = torch.nn.functional.pad(flags, (1, 1))
    return int(padded.diff().abs().sum()) == 2


def kind_of(filling):
    """What a covered region was filled with, told from its pixels, shape (3, covered)."""
    if (filling != filling[:, :1]).any():
        return "picture" if filling.min() >= 0.25 and filling.max() <= 0.75 else "noise"
    values = set(filling.unique().tolist())
    if not values <= {0.0, 1.0}:
        return "colour"
    return "extreme" if len(values) == 1 else "primary"


def test_shape_and_dtype_stay():
    images = pictures()
    occluded, mask = random_occlusion(images)
    assert (occluded.shape, occluded.dtype) == (images.shape, images.dtype)
    assert mask.shape == (40, 1, 12, 20)


def test_a_mask_is_zero_or_one():
    _, mask = random_occlusion(pictures())
    assert mask.unique().tolist() == [0, 1]


def test_what_is_covered_is_a_rectangle_without_gaps():
    _, mask = random_occlusion(pictures())
    rows, columns = mask.amax(dim=3)[:, 0], mask.amax(dim=2)[:, 0]
    assert all(is_one_run(flags) for flags in [*rows, *columns])


def test_pixels_outside_are_unchanged_bit_for_bit():
    images = pictures()
    occluded, mask = random_occlusion(images)
    outside = (mask == 0).expand_as(images)
    assert torch.equal(occluded[outside], images[outside])


def test_pixels_inside_are_replaced():
    images = pictures()
    occluded, mask = random_occlusion(images)
    changed = (occluded != images).any(dim=1, keepdim=True)
    assert torch.equal(changed, mask == 1)


def test_the_given_images_stay_as_they_are():
    images = pictures()
    before = images.clone()
    random_occlusion(images)
    assert torch.equal(images, before)


def test_values_stay_between_zero_and_one():
    occluded, _ = random_occlusion(torch.rand(200, 3, 9, 7))
    assert occluded.min() >= 0
    assert occluded.max() <= 1


@pytest.mark.parametrize("size", [(12, 20), (20, 12), (32, 32), (5, 64)])
@pytest.mark.parametrize(("smallest", "largest"), [(0.1, 0.45), (0.5, 0.5), (0.9, 1.0)])
def test_sides_are_within_the_limits(size, smallest, largest):
    _, mask = random_occlusion(pictures(300, size), smallest=smallest, largest=largest)
    for found, length in zip(sides(mask), size, strict=True):
        # up to half of a rectangle may lie beyond the border
        assert min(found) >= max(1, math.floor(smallest * length / 2))
        assert max(found) <= math.ceil(largest * length)


def test_height_and_width_are_drawn_independently():
    _, mask = random_occlusion(pictures(500, (32, 32)))
    found = torch.tensor(sides(mask)).double()
    assert abs(torch.corrcoef(found)[0, 1]) < 0.2


def test_something_is_covered_however_small_the_images_are():
    _, mask = random_occlusion(pictures(2000, (4, 6)), smallest=0.01, largest=0.02)
    assert mask.sum(dim=(1, 2, 3)).unique().tolist() == [1]


def test_corners_are_covered_at_least_a_fifth_as_often_as_the_centre():
    _, mask = random_occlusion(pictures(4000, (32, 32)))
    often = mask.mean(dim=(0, 1))
    corners = torch.stack([often[0, 0], often[0, -1], often[-1, 0], often[-1, -1]])
    assert corners.min() > often[16, 16] / 5


def test_every_kind_of_filling_occurs_about_equally_often():
    occluded, mask = random_occlusion(pictures(1000), smallest=0.4)
    pairs = zip(occluded, mask, strict=True)
    kinds = Counter(kind_of(image[:, covered[0] == 1]) for image, covered in pairs)
    # two of the eight primary colours are black and white
    expected = dict.fromkeys(KINDS, 200) | {"primary": 150, "extreme": 250}
    assert kinds == pytest.approx(expected, abs=60)


def test_a_piece_of_a_picture_comes_from_another_image():
    images = torch.arange(1, 61).reshape(60, 1, 1, 1).expand(60, 3, 12, 20) / 64
    occluded, mask = random_occlusion(images)
    covered = (mask == 1).expand_as(images)
    own = (occluded == images)[covered]
    assert not own.any()


def test_the_same_seed_gives_the_same_occlusions():
    images = pictures()
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(random_occlusion(images))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_another_seed_gives_other_occlusions():
    images = pictures()
    torch.manual_seed(1)
    first, _ = random_occlusion(images)
    torch.manual_seed(2)
    assert not torch.equal(random_occlusion(images)[0], first)


def test_an_empty_batch_stays_empty():
    occluded, mask = random_occlusion(pictures(0))
    assert (occluded.shape, mask.shape) == ((0, 3, 12, 20), (0, 1, 12, 20))
