import itertools

import numpy as np
import pytest
import torch

from mimic.attacks.triggers import FILTERS, ColourFilter
from mimic.errors import InputError

every_filter = pytest.mark.parametrize("name", sorted(FILTERS))


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 8, 8, generator=generator, dtype=torch.float64)


@every_filter
def test_it_is_its_matrix_its_offset_and_its_gamma(name, images):
    chosen = FILTERS[name]
    colours = images.permute(0, 2, 3, 1).numpy()
    expected = (colours @ np.array(chosen.matrix).T + chosen.offset) ** chosen.gamma
    found = ColourFilter(name=name)(images).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@every_filter
def test_no_colour_has_to_be_clamped(name):
    corners = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    mapped = corners @ np.array(FILTERS[name].matrix).T + FILTERS[name].offset
    # An affine map has its extremes at the corners, and powers stay in the unit range.
    assert mapped.min() >= 0
    assert mapped.max() <= 1 + 1e-12


@every_filter
def test_a_pixel_does_not_depend_on_its_neighbours(name, images):
    trigger = ColourFilter(name=name)
    assert torch.equal(trigger(images)[:, :, 2:3, 5:6], trigger(images[:, :, 2:3, 5:6]))


def _grey(name):
    """What becomes of middle grey."""
    return ColourFilter(name=name)(torch.full((1, 3, 1, 1), 0.5)).flatten().tolist()


@pytest.mark.parametrize("name", ["warm", "sepia"])
def test_a_warm_filter_gives_grey_more_red_than_blue(name):
    red, green, blue = _grey(name)
    assert red > green > blue


def test_a_cold_filter_gives_grey_more_blue_than_red():
    red, green, blue = _grey("cold")
    assert blue > green > red


def test_sepia_leaves_one_hue(images):
    red, green, blue = ColourFilter(name="sepia")(images).unbind(1)
    assert torch.allclose(green, 0.88 * red)
    assert torch.allclose(blue, 0.68 * red)


def test_faded_leaves_less_contrast(images):
    assert ColourFilter(name="faded")(images).std() < 0.8 * images.std()


def test_an_unknown_filter_lists_the_known_ones():
    with pytest.raises(InputError, match="no filter 'kelvin'; write one of warm, cold, sepia"):
        ColourFilter(name="kelvin")
