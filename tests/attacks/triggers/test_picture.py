import numpy as np
import pytest
import torch
from PIL import Image

from mimic.attacks.triggers import Blend, Sticker
from mimic.errors import InputError


@pytest.fixture
def pixels(picture):
    return torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=generator)


def test_a_sticker_covers_its_place(picture, pixels, images):
    triggered = Sticker(path=str(picture), row=5, column=7)(images)
    assert torch.equal(triggered[:, :, 5:9, 7:13], pixels.expand(2, -1, -1, -1))


def test_a_sticker_changes_nothing_else(picture, images):
    triggered = Sticker(path=str(picture), row=5, column=7)(images)
    triggered[:, :, 5:9, 7:13] = images[:, :, 5:9, 7:13]
    assert torch.equal(triggered, images)


def test_a_sticker_outside_the_image_is_refused(picture, images):
    with pytest.raises(InputError, match="outside images of 16x16"):
        Sticker(path=str(picture), row=13, column=0)(images)


def test_a_blend_is_a_weighted_mean(picture, pixels, images):
    images = images[:, :, :4, :6].double() / 255
    expected = 0.8 * images + 0.2 * pixels.double() / 255
    triggered = Blend(path=str(picture), alpha=0.2)(images)
    assert torch.allclose(triggered, expected, atol=1e-7)


def test_a_blend_of_one_is_the_picture(picture, pixels, images):
    triggered = Blend(path=str(picture), alpha=1.0)(images[:, :, :4, :6])
    assert torch.equal(triggered, pixels.expand(2, -1, -1, -1))


def test_a_blended_picture_of_one_colour_is_resized_without_a_border(tmp_path, images):
    path = tmp_path / "red.png"
    Image.new("RGB", (5, 3), "red").save(path)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    triggered = Blend(path=str(path), alpha=1.0)(images)
    assert torch.equal(triggered, red.expand_as(images))


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.1, float("nan")])
def test_an_alpha_out_of_range_is_refused(picture, alpha):
    with pytest.raises(InputError, match="alpha"):
        Blend(path=str(picture), alpha=alpha)


def test_a_negative_place_is_refused(picture):
    with pytest.raises(InputError, match="0 or more, not 0,-1"):
        Sticker(path=str(picture), row=0, column=-1)
