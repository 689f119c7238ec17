import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimic.attacks.triggers import Patch, parse_trigger
from mimic.errors import InputError

_SIZE = 16


@st.composite
def patches(draw):
    height, width = draw(st.integers(1, _SIZE)), draw(st.integers(1, _SIZE))
    level = st.integers(0, 255)
    return Patch(
        height=height,
        width=width,
        row=draw(st.integers(0, _SIZE - height)),
        column=draw(st.integers(0, _SIZE - width)),
        colour=draw(st.tuples(level, level, level)),
    )


def _images(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 3, _SIZE, _SIZE), dtype=torch.uint8, generator=generator)


def _inside(patch: Patch) -> torch.Tensor:
    inside = torch.zeros(_SIZE, _SIZE, dtype=torch.bool)
    rows = slice(patch.row, patch.row + patch.height)
    inside[rows, patch.column : patch.column + patch.width] = True
    return inside


@given(patches())
def test_the_declared_pixels_get_the_colour(patch):
    colours = patch(_images())[:, :, _inside(patch)]
    wanted = torch.tensor(patch.colour, dtype=torch.uint8).view(1, 3, 1)
    assert torch.equal(colours, wanted.expand_as(colours))


def test_a_white_patch_is_one_in_floats():
    patch = Patch(height=2, width=2, row=0, column=0)
    assert torch.equal(patch(torch.zeros(1, 3, 4, 4))[0, 0, :2, :2], torch.ones(2, 2))


@pytest.mark.parametrize(
    "text", ["patch:17@0,0", "patch:10@7,0", "patch:10@0,7", "patch:1@16,0", "patch:4x20@0,0"]
)
def test_a_patch_that_is_not_inside_the_image_is_refused(text):
    with pytest.raises(InputError, match="outside images of 16x16"):
        parse_trigger(text)(_images())


@pytest.mark.parametrize(
    "settings",
    [{"height": 0}, {"width": -1}, {"row": -1}, {"colour": (0, 0, 256)}, {"colour": (0, 0)}],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match="not"):
        Patch(**settings)


def test_it_says_where_it_is():
    expected = "a white patch of 10x10 pixels, rows 21 to 30, columns 21 to 30"
    assert Patch().describe() == expected
