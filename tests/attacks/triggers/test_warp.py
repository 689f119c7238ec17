import pytest
import torch

from mimic.attacks.triggers import Warp
from mimic.errors import InputError


def _ramps(height: int, width: int) -> torch.Tensor:
    """Red grows from 0 to 1 over the columns, green over the rows."""
    red = torch.linspace(0, 1, width).expand(height, width)
    green = torch.linspace(0, 1, height)[:, None].expand(height, width)
    return torch.stack([red, green, torch.zeros(height, width)])[None]


@pytest.mark.parametrize("strength", [0.5, 3.0, 40.0])
def test_every_pixel_is_taken_from_its_origin_or_from_the_border(strength):
    trigger = Warp(strength=strength)
    # On a ramp, bilinear sampling is exact and a colour tells the place it came from.
    expected = (trigger.origins(12, 20).clamp(-1, 1) + 1) / 2
    found = trigger(_ramps(12, 20))[0, :2].permute(1, 2, 0)
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("grid", [2, 4, 7])
def test_the_control_points_have_a_mean_shift_of_one(grid):
    assert Warp(grid=grid).control_points().abs().mean().item() == pytest.approx(1, abs=1e-6)


def test_the_corners_shift_as_their_control_points_say():
    trigger = Warp(strength=2, grid=3)
    columns, rows = trigger.control_points()[0, :, 2, 0] * 2 / torch.tensor([20, 12])
    expected = torch.stack([columns - 1, rows + 1])
    assert torch.allclose(trigger.origins(12, 20)[-1, 0], expected, atol=1e-6)


def test_as_many_control_points_as_pixels_are_the_field_itself():
    trigger = Warp(strength=1, grid=8)
    shifts = trigger.origins(8, 8) - Warp(strength=1e-9, grid=8).origins(8, 8)
    expected = trigger.control_points()[0].permute(1, 2, 0) / 8
    assert torch.allclose(shifts, expected, atol=1e-6)


def test_the_shift_grows_with_the_strength():
    still, once, thrice = (Warp(strength=s).origins(16, 16) for s in (1e-9, 1.0, 3.0))
    assert torch.allclose(thrice - still, 3 * (once - still), atol=1e-5)


def test_neighbours_shift_by_nearly_the_same():
    trigger = Warp(strength=32)
    shifts = trigger.origins(64, 64) - Warp(strength=1e-9).origins(64, 64)
    # Between two control points the slope of a bicubic surface is at most 3 * 1.375 of the largest
    # value; there are 3 spans on 63 steps, and a value of 1 is a shift of 32 / 64.
    steepest = 3 * 1.375 * trigger.control_points().abs().max() * 3 / 63 * 32 / 64
    assert shifts.diff(dim=0).abs().max() < steepest


def test_a_plain_image_stays_plain():
    images = torch.full((2, 3, 16, 16), 0.3)
    assert torch.allclose(Warp(strength=3)(images), images, atol=1e-6)


def test_another_seed_is_another_field():
    assert not torch.equal(Warp(seed=1).origins(8, 8), Warp(seed=2).origins(8, 8))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"strength": 0.0}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"strength": float("inf")}, "strength"),
        ({"grid": 1}, "2 to 256"),
        ({"grid": 257}, "2 to 256"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_settings_out_of_range_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        Warp(**settings)
