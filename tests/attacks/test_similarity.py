import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.attacks.similarity import psnr, sliced_wasserstein, ssim
from mimic.errors import InputError


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(3, 3, 20, 17, generator=generator)
    return first, (first + 0.2 * torch.rand(first.shape, generator=generator)).clamp(0, 1)


def _ssim_in_float64(first: Tensor, second: Tensor) -> Tensor:
    """The definition of Wang et al., window by window."""
    steps = torch.arange(-5, 6, dtype=torch.float64)
    line = torch.exp(-(steps**2) / (2 * 1.5**2))
    window = torch.outer(line, line).flatten()
    window /= window.sum()
    # (batch * channels, 121, places)
    a, b = (F.unfold(x.double().flatten(0, 1)[:, None], 11) for x in (first, second))
    weigh = window[None, :, None]
    mean_a, mean_b = (weigh * a).sum(1), (weigh * b).sum(1)
    var_a = (weigh * (a - mean_a[:, None]) ** 2).sum(1)
    var_b = (weigh * (b - mean_b[:, None]) ** 2).sum(1)
    both = (weigh * (a - mean_a[:, None]) * (b - mean_b[:, None])).sum(1)
    places = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
    places = places / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
    return places.unflatten(0, first.shape[:2]).flatten(1).mean(1)


def test_ssim_equals_its_definition_in_float64(pair):
    expected = _ssim_in_float64(*pair)
    assert torch.allclose(ssim(*pair).double(), expected, atol=1e-5)


def test_ssim_of_equal_images_is_one(pair):
    assert ssim(pair[0], pair[0]).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


def test_ssim_does_not_depend_on_the_precision_around_it(pair):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = ssim(*pair)
    assert torch.equal(inside, ssim(*pair))


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(InputError, match="11x11 pixels or more, not 16x10"):
        ssim(torch.zeros(1, 3, 16, 10), torch.zeros(1, 3, 16, 10))


def test_psnr_of_a_constant_difference_is_known():
    black, grey = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1)
    assert psnr(black, grey).item() == pytest.approx(20.0, abs=1e-4)


def test_psnr_is_taken_per_image(pair):
    alone = torch.cat([psnr(a[None], b[None]) for a, b in zip(*pair, strict=True)])
    assert torch.allclose(psnr(*pair), alone)


def test_psnr_of_equal_images_is_finite(pair):
    assert psnr(pair[0], pair[0]).tolist() == pytest.approx([100.0] * 3, abs=1e-3)


def test_sliced_wasserstein_on_a_line_is_the_distance_of_the_sorted_points():
    first, second = torch.tensor([[3.0], [1.0]]), torch.tensor([[2.0], [6.0]])
    # 1 goes to 2 and 3 to 6; every direction on a line is that line.
    assert sliced_wasserstein(first, second).item() == pytest.approx((1 + 9) / 2, rel=1e-5)


def test_sliced_wasserstein_ignores_the_order_of_points():
    points = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    assert sliced_wasserstein(points, points.flip(0)).item() == pytest.approx(0, abs=1e-12)


def test_sliced_wasserstein_of_a_shift_is_its_squared_length_per_dimension():
    points = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([3.0, 0.0, 4.0, 0.0, 0.0])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = sliced_wasserstein(points, points + shift, projections=200_000).item()
    # The squared cosine has mean 1/5 and variance 2 * 4 / (25 * 7): five standard errors.
    error = 5 * 25 * math.sqrt(8 / (25 * 7) / 200_000)
    assert found == pytest.approx(25 / 5, abs=error)
