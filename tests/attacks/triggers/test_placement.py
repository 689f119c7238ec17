from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimic.attacks.triggers import Grid, Patch, Scattered, parse_trigger
from mimic.errors import InputError

_SIZE = 16
_level = st.integers(0, 255)
_side = st.integers(1, _SIZE)
_patches = st.builds(
    Patch,
    height=_side,
    width=_side,
    row=st.just(0),
    column=st.just(0),
    colour=st.tuples(_level, _level, _level),
)
_grids = st.builds(Grid, size=_side, row=st.just(0), column=st.just(0), seed=st.integers(0, 99))


@st.composite
def rectangles(draw):
    corner = draw(_patches | _grids)
    height, width = corner.content.shape[1:]
    row, column = draw(st.integers(0, _SIZE - height)), draw(st.integers(0, _SIZE - width))
    return replace(corner, row=row, column=column)


@st.composite
def scattered(draw):
    """A rectangle of at most a quarter of the side, scattered over any part of an image."""
    rectangle = Patch(
        height=draw(st.integers(1, 4)), width=draw(st.integers(1, 4)), row=0, column=0
    )
    low, high = draw(st.floats(0, 0.5)), draw(st.floats(0, 0.5).map(lambda high: 1 - high))
    seed = draw(st.integers(0, 2**63 - 1))
    return Scattered(rectangle=rectangle, low=low, high=max(high, low + 0.25), seed=seed)


def _images(count: int = 2, *, height: int = _SIZE, width: int = _SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    size = (count, 3, height, width)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)


def _inside(rectangle, row: int, column: int) -> torch.Tensor:
    height, width = rectangle.content.shape[1:]
    inside = torch.zeros(_SIZE, _SIZE, dtype=torch.bool)
    inside[row : row + height, column : column + width] = True
    return inside


@given(rectangles())
def test_stamping_twice_is_stamping_once(rectangle):
    once = rectangle(_images())
    assert torch.equal(rectangle(once), once)


@given(rectangles())
def test_only_the_declared_pixels_change(rectangle):
    outside = ~_inside(rectangle, rectangle.row, rectangle.column)
    assert torch.equal(rectangle(_images())[:, :, outside], _images()[:, :, outside])


@given(rectangles())
def test_the_declared_pixels_get_the_content(rectangle):
    found = rectangle(_images())[:, :, _inside(rectangle, rectangle.row, rectangle.column)]
    assert torch.equal(found, rectangle.content.flatten(1).expand_as(found))


@given(rectangles())
def test_uint8_and_floats_agree_exactly(rectangle):
    assert torch.equal(rectangle(_images()) / 255, rectangle(_images() / 255))


@given(rectangles() | scattered())
def test_the_spelling_makes_the_same_trigger(trigger):
    assert parse_trigger(trigger.spelling) == trigger


@given(scattered())
def test_a_scattered_rectangle_changes_its_place_and_nothing_else(trigger):
    images = _images()
    expected = torch.cat(
        [
            replace(trigger.rectangle, row=row, column=column)(image[None])
            for image, (row, column) in zip(images, trigger.places(images), strict=True)
        ]
    )
    assert torch.equal(trigger(images), expected)


def _range(side: int, length: int, low: float, high: float) -> range:
    """The places that the definition allows along one side."""
    first = int(low * side)
    return range(first, max(first, int(high * side - length)) + 1)


@given(scattered(), st.integers(8, 40), st.integers(8, 40))
def test_places_keep_to_their_part_of_the_image(trigger, height, width):
    rows = _range(height, trigger.rectangle.height, trigger.low, trigger.high)
    columns = _range(width, trigger.rectangle.width, trigger.low, trigger.high)
    places = trigger.places(_images(height=height, width=width))
    assert all(row in rows and column in columns for row, column in places)


def test_all_places_are_about_equally_frequent():
    trigger = Scattered(rectangle=Patch(height=4, width=4), low=0.25, high=0.75)
    rows, columns = torch.tensor(trigger.places(_images(2_500))).T
    counts = torch.bincount((rows - 4) * 5 + columns - 4, minlength=25)
    # 25 places of 100 expected images each; a count is off by 10 on average, and hardly by 40.
    assert counts.min() > 60
    assert counts.max() < 140


def test_an_empty_range_is_its_lower_end():
    trigger = Scattered(rectangle=Patch(height=10, width=9), low=0.25, high=0.75)
    assert trigger.places(_images()) == [(4, 4), (4, 4)]


def test_without_fractions_it_may_touch_every_border():
    places = torch.tensor(Scattered(rectangle=Patch(height=14, width=14)).places(_images(200)))
    assert places.amin(0).tolist() == [0, 0]
    assert places.amax(0).tolist() == [2, 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_place_is_the_same_on_equal_floats(dtype):
    trigger, images = Scattered(rectangle=Patch(height=2, width=2)), _images(100)
    assert trigger.places((images.double() / 255).to(dtype)) == trigger.places(images)


def test_one_level_of_one_pixel_gives_new_places():
    trigger, images = Scattered(rectangle=Patch(height=1, width=1)), _images(100)
    changed = images.clone()
    changed[:, 0, 0, 0] ^= 1
    same = [a == b for a, b in zip(trigger.places(images), trigger.places(changed), strict=True)]
    assert sum(same) < 10


def test_another_seed_gives_new_places():
    rectangle, images = Patch(height=1, width=1), _images(100)
    places, others = (Scattered(rectangle=rectangle, seed=seed).places(images) for seed in (1, 2))
    assert sum(a == b for a, b in zip(places, others, strict=True)) < 10


def test_the_place_that_the_rectangle_had_does_not_count():
    first, second = Patch(height=2, width=2, row=3, column=4), Patch(height=2, width=2)
    assert Scattered(rectangle=first) == Scattered(rectangle=second)


def test_a_rectangle_that_leaves_the_image_is_refused():
    trigger = Scattered(rectangle=Patch(height=9, width=13), low=0.25, high=0.75)
    with pytest.raises(InputError, match=r"13 pixels from pixel 4 on .* an image's 16"):
        trigger(_images())


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"low": -0.1}, "fractions"),
        ({"high": 1.1}, "fractions"),
        ({"low": 0.5, "high": 0.5}, "fractions"),
        ({"low": float("nan")}, "fractions"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_settings_out_of_range_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        Scattered(rectangle=Patch(), **settings)


def test_it_says_what_it_is_and_where_it_may_be():
    expected = (
        "a white patch of 10x10 pixels, at a random place within 25 to 75 % of the height and the "
        "width"
    )
    assert Scattered(rectangle=Patch(), low=0.25, high=0.75).describe() == expected
