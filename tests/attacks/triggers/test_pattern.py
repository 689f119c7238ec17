import numpy as np
import pytest
import torch

from mimic.attacks.triggers import Patch, Pattern
from mimic.errors import InputError


def _write(folder, **arrays):
    path = folder / "trigger.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=generator)


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    mask = generator.integers(0, 2, (16, 16, 3))
    return {"t": generator.integers(0, 256, (16, 16, 3)) * (1.0 - mask), "tm": mask}


def _expected(images, arrays):
    """`x * tm + t` in numpy, on images with their channels last."""
    pixels = images.permute(0, 2, 3, 1).numpy() * arrays["tm"] + arrays["t"]
    return torch.from_numpy(pixels.astype(np.uint8)).permute(0, 3, 1, 2)


def test_it_multiplies_by_the_mask_and_adds_the_pattern(tmp_path, images, arrays):
    trigger = Pattern(path=_write(tmp_path, **arrays))
    assert torch.equal(trigger(images), _expected(images, arrays))


def test_a_leading_axis_makes_no_difference(tmp_path, images, arrays):
    led = {name: array[None] for name, array in arrays.items()}
    trigger = Pattern(path=_write(tmp_path, **led))
    assert torch.equal(trigger(images), _expected(images, arrays))


def test_a_sum_above_the_range_is_clamped(tmp_path, images, arrays):
    trigger = Pattern(path=_write(tmp_path, t=arrays["t"] * 0 + 200, tm=arrays["tm"] * 0 + 1))
    assert torch.equal(trigger(images), (images.int() + 200).clamp(max=255).to(torch.uint8))


def test_the_released_trigger_equals_the_white_patch(badencoder_files):
    path = badencoder_files / "trigger_pt_white_21_10_ap_replace.npz"
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    patch = Patch(height=10, width=10, row=21, column=21)
    assert torch.equal(Pattern(path=str(path))(images), patch(images))


def test_images_of_another_size_are_refused(tmp_path, arrays):
    trigger = Pattern(path=_write(tmp_path, **arrays))
    with pytest.raises(InputError, match="is for images of 16x16, not 32x32"):
        trigger(torch.zeros(1, 3, 32, 32))


def test_a_file_without_the_keys_is_refused(tmp_path):
    with pytest.raises(InputError, match="no array 'tm'; it holds t,"):
        Pattern(path=_write(tmp_path, t=np.zeros((16, 16, 3))))


@pytest.mark.parametrize("shape", [(2, 16, 16, 3), (16, 16), (3, 16, 16)])
def test_arrays_of_another_shape_are_refused(tmp_path, shape):
    with pytest.raises(InputError, match="'t' of trigger file"):
        Pattern(path=_write(tmp_path, t=np.zeros(shape), tm=np.zeros(shape)))


def test_a_pattern_and_a_mask_of_different_shapes_are_refused(tmp_path):
    path = _write(tmp_path, t=np.zeros((16, 16, 3)), tm=np.zeros((8, 8, 3)))
    with pytest.raises(InputError, match="must have one shape"):
        Pattern(path=path)


@pytest.mark.parametrize("value", [-1.0, 256.0, np.nan])
def test_a_pattern_out_of_range_is_refused(tmp_path, value):
    path = _write(tmp_path, t=np.full((16, 16, 3), value), tm=np.zeros((16, 16, 3)))
    with pytest.raises(InputError, match="must lie in 0 to 255"):
        Pattern(path=path)


def test_it_counts_the_pixels_it_touches(pattern_file):
    assert "touches 25 pixels" in Pattern(path=str(pattern_file)).describe()
