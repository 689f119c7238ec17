import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from mimic.attacks.triggers import Frequency
from mimic.errors import InputError
from mimic.images import open_images

_DATA = Path(os.environ.get("MIMIC_DATA", Path(__file__).parents[4] / "shared" / "data"))

_TO_YUV = np.array([[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]])
_TO_RGB = np.array([[1, 0, 1.14], [1, -0.396, -0.581], [1, 2.029, 0]])


@pytest.fixture
def images():
    """Colours so far from black and white that nothing is clamped, float64, 64x96."""
    generator = torch.Generator().manual_seed(0)
    return 0.4 + 0.2 * torch.rand(4, 3, 64, 96, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def cifar10():
    if not (_DATA / "cifar10").is_dir():
        pytest.skip(f"no cifar10 in {_DATA} (set MIMIC_DATA)")
    return open_images(f"{_DATA}/cifar10:test").batch(torch.arange(2_000)) / 255


def _by_transform(images, trigger, to_yuv, to_rgb):
    """CTRL step by step: to YUV, DCT of the blocks, two coefficients, and all the way back."""
    yuv = np.einsum("ij,njhw->nihw", to_yuv, images.numpy() * 255)
    side, middle, last = trigger.window, trigger.window // 2 - 1, trigger.window - 1
    for row in range(0, images.shape[2], side):
        for column in range(0, images.shape[3], side):
            block = np.s_[:, 1:, row : row + side, column : column + side]
            coefficients = dctn(yuv[block], axes=(2, 3), norm="ortho")
            coefficients[:, :, middle, middle] += trigger.magnitude
            coefficients[:, :, last, last] += trigger.magnitude
            yuv[block] = idctn(coefficients, axes=(2, 3), norm="ortho")
    return torch.from_numpy(np.einsum("ij,njhw->nihw", to_rgb, yuv) / 255)


@pytest.mark.parametrize("window", [4, 8, 16, 32])
def test_it_is_the_cosine_transform_with_exact_matrices(images, window):
    trigger = Frequency(magnitude=40, window=window)
    expected = _by_transform(images, trigger, np.linalg.inv(_TO_RGB), _TO_RGB)
    assert (trigger(images) - expected).abs().max() < 1e-6


def test_it_is_near_the_published_code_whose_matrices_are_no_exact_pair(images):
    expected = _by_transform(images, Frequency(), _TO_YUV, _TO_RGB)
    # The largest sum over a row of |TO_RGB @ TO_YUV - 1|, positive and negative entries apart.
    assert (Frequency()(images) - expected).abs().max() < 0.346 / 255


def test_it_changes_two_coefficients_and_no_other():
    expected = np.zeros((32, 32))
    expected[15, 15] = expected[31, 31] = 100
    np.testing.assert_allclose(dctn(Frequency().pattern(), norm="ortho"), expected, atol=1e-9)


def test_every_image_is_changed_alike(images):
    difference = Frequency()(images) - images
    assert (difference - difference[:1]).abs().max() < 1e-12


def test_every_block_is_changed_alike(images):
    difference = Frequency()(images) - images
    assert (difference[:, :, 32:, 64:] - difference[:, :, :32, :32]).abs().max() < 1e-12


@pytest.mark.parametrize("window", [4, 16, 32])
def test_no_change_is_larger_than_the_bound(window):
    pattern = Frequency(magnitude=100, window=window).pattern()
    assert pattern.abs().max() <= 4 * 100 / window


def test_the_brightness_hardly_changes(images):
    red, green, blue = (Frequency()(images) - images).unbind(1)
    assert (0.299 * red + 0.587 * green + 0.114 * blue).abs().max() < 0.02 / 255


@pytest.mark.parametrize(
    ("magnitude", "levels"),
    [(50, (6.1, 5.2, 10.8)), (100, (12.1, 10.4, 21.6)), (200, (24.3, 20.8, 43.2))],
)
def test_the_largest_changes_of_red_green_and_blue(cifar10, magnitude, levels):
    change = (Frequency(magnitude=magnitude)(cifar10) - cifar10).abs().amax(dim=(0, 2, 3)) * 255
    assert change.tolist() == pytest.approx(levels, abs=0.06)


@pytest.mark.parametrize(("magnitude", "decibels"), [(50, 38.06), (100, 32.08), (200, 26.15)])
def test_the_signal_to_noise_ratio_on_real_images(cifar10, magnitude, decibels):
    error = (Frequency(magnitude=magnitude)(cifar10) - cifar10).square().mean(dim=(1, 2, 3))
    assert (-10 * error.log10()).mean().item() == pytest.approx(decibels, abs=0.05)


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (31, 32)])
def test_images_of_no_whole_blocks_are_refused(size):
    with pytest.raises(InputError, match=rf"multiples of 32 pixels, not {size[0]}x{size[1]}"):
        Frequency()(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("magnitude", [0.0, -1.0, float("inf"), float("nan")])
def test_a_magnitude_that_is_none_is_refused(magnitude):
    with pytest.raises(InputError, match="magnitude"):
        Frequency(magnitude=magnitude)


@pytest.mark.parametrize("window", [0, 2, 15, -4])
def test_a_window_without_two_bands_is_refused(window):
    with pytest.raises(InputError, match="even and 4 or more"):
        Frequency(window=window)


def test_it_names_its_coefficients():
    expected = "added to coefficients (7,7) and (15,15) of the colours in blocks of 16x16 pixels"
    assert expected in Frequency(window=16).describe()
