import math

import pytest
import torch

from mimic.errors import InputError
from mimic.information.samplers import (
    correlated_gaussian,
    dense_gaussian,
    half_cube,
    permuted,
    student_t,
    student_t_information,
    uniform_noise,
)


@pytest.mark.parametrize(
    ("rho", "dimensions", "nats"),
    [(0.3, 1, 0.047155), (0.7, 1, 0.336672), (0.99, 1, 1.958518), (0.5, 5, 0.7192)],
)
def test_the_information_of_correlated_pairs_is_exact(rho, dimensions, nats):
    sample = correlated_gaussian(rho, dimensions=dimensions, samples=2)
    assert sample.nats == pytest.approx(nats, abs=5e-5)


@pytest.mark.parametrize(
    ("size", "nats"), [(2, 0.293893), (3, 0.413339), (5, 0.592812), (25, 1.292184), (50, 1.624265)]
)
def test_the_information_of_a_dense_gaussian_is_exact(size, nats):
    sample = dense_gaussian(x_dimensions=size, y_dimensions=size, samples=2)
    assert sample.nats == pytest.approx(nats, abs=1e-6)


@pytest.mark.parametrize(
    ("half_width", "nats"), [(0.1, 1.709438), (0.25, 0.943147), (0.5, 0.5), (0.75, 1 / 3)]
)
def test_the_information_of_uniform_noise_is_exact(half_width, nats):
    assert uniform_noise(half_width, samples=2).nats == pytest.approx(nats, abs=1e-6)


@pytest.mark.parametrize(
    ("x_dimensions", "y_dimensions", "degrees", "nats"),
    [(1, 1, 1, 0.224171), (2, 2, 2, 0.193147), (5, 5, 3, 0.298544), (1, 1, 5, 0.017128)],
)
def test_the_information_in_the_tails_of_a_student_t_is_exact(
    x_dimensions, y_dimensions, degrees, nats
):
    found = student_t_information(degrees, x_dimensions, y_dimensions)
    assert found == pytest.approx(nats, abs=1e-6)


def test_correlated_pairs_have_the_correlation_that_was_asked_for():
    sample = correlated_gaussian(0.7, samples=20_000)
    pairs = torch.cat([sample.x, sample.y], dim=1).T
    assert torch.corrcoef(pairs)[0, 1].item() == pytest.approx(0.7, abs=0.02)


def test_the_marginal_of_a_student_t_has_its_variance():
    sample = student_t(degrees=8, samples=50_000)
    assert sample.x.var().item() == pytest.approx(8 / 6, rel=0.05)


def test_the_half_cube_can_be_undone():
    sample = correlated_gaussian(0.7, samples=100)
    bent = half_cube(sample)
    torch.testing.assert_close(bent.x.sign() * bent.x.abs() ** (2 / 3), sample.x)


def test_permuting_keeps_the_marginals_and_no_information():
    sample = correlated_gaussian(0.7, samples=100)
    shuffled = permuted(sample)
    assert torch.equal(shuffled.y.sort(dim=0).values, sample.y.sort(dim=0).values)
    assert shuffled.nats == 0


def test_the_same_seed_gives_the_same_sample():
    assert torch.equal(
        student_t(degrees=2, samples=9, seed=4).y, student_t(degrees=2, samples=9, seed=4).y
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda: correlated_gaussian(1.0, samples=2),
        lambda: dense_gaussian(correlation=-0.1, samples=2),
        lambda: uniform_noise(0.0, samples=2),
        lambda: student_t(degrees=0, samples=2),
        lambda: student_t(degrees=math.nan, samples=2),
    ],
)
def test_parameters_out_of_range_are_refused(draw):
    with pytest.raises(InputError):
        draw()
