import pytest
import torch

from mimic.images.pixels import to_unit_range


def test_bytes_become_their_share_of_255():
    images = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    expected = (torch.arange(256, dtype=torch.float64) / 255).float().reshape(16, 16)
    assert torch.equal(to_unit_range(images), expected)


def test_the_given_bytes_stay_as_they_are():
    images = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    to_unit_range(images)
    assert images.unique().tolist() == [255]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_are_passed_on(dtype):
    images = torch.rand(1, 3, 2, 2).to(dtype)
    assert to_unit_range(images) is images
