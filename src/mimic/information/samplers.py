"""Distributions that know their exact mutual information, to try an estimator before trusting it.

They are part of the package rather than of its tests because a researcher who adds an estimator, or
changes how critics are trained, needs the same truth as our tests and benchmarks do.

The cases and their closed forms follow Czyż et al., "Beyond Normal: On the Evaluation of Mutual
Information Estimators", NeurIPS 2023, arXiv:2306.11078.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimic.errors import InputError


@dataclass(frozen=True)
class Sample:
    """Pairs and the truth about them.

    Attributes:
        x: shape (samples, dx), float64.
        y: shape (samples, dy), float64.
        nats: the exact mutual information of the distribution.
    """

    x: Tensor
    y: Tensor
    nats: float


def correlated_gaussian(rho: float, *, dimensions: int = 1, samples: int, seed: int = 0) -> Sample:
    """`dimensions` independent pairs of standard normal numbers with correlation `rho`.

    Raises:
        InputError: rho is not in (-1, 1).
    """
    if not -1 < rho < 1:
        raise InputError(f"the correlation must be between -1 and 1, both excluded, not {rho}")
    x, noise = _normal(seed, samples, 2 * dimensions).chunk(2, dim=1)
    y = rho * x + math.sqrt(1 - rho**2) * noise
    return Sample(x, y, -0.5 * dimensions * math.log1p(-(rho**2)))


def dense_gaussian(
    *,
    correlation: float = 0.5,
    x_dimensions: int = 1,
    y_dimensions: int = 1,
    samples: int,
    seed: int = 0,
) -> Sample:
    """Standard normal coordinates of which every two have the same correlation.

    Raises:
        InputError: correlation is not in [0, 1).
    """
    covariance = _equicorrelation(correlation, x_dimensions + y_dimensions)
    values = _normal(seed, samples, len(covariance)) @ torch.linalg.cholesky(covariance).T
    nats = gaussian_information(covariance, x_dimensions)
    return Sample(values[:, :x_dimensions], values[:, x_dimensions:], nats)


def uniform_noise(half_width: float, *, samples: int, seed: int = 0) -> Sample:
    """Uniform x in [0, 1], and y = x plus noise uniform in [-half_width, half_width].

    Raises:
        InputError: half_width is not positive.
    """
    if not half_width > 0:
        raise InputError(f"the half width of the noise must be positive, not {half_width}")
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(samples, 2, generator=generator, dtype=torch.float64)
    x, noise = uniform.chunk(2, dim=1)
    narrow = half_width <= 0.5
    nats = half_width - math.log(2 * half_width) if narrow else 1 / (4 * half_width)
    return Sample(x, x + half_width * (2 * noise - 1), nats)


def student_t(
    *,
    degrees: float,
    x_dimensions: int = 1,
    y_dimensions: int = 1,
    correlation: float = 0.0,
    samples: int,
    seed: int = 0,
) -> Sample:
    """Multivariate Student-t: heavy tails that make even uncorrelated coordinates dependent.

    Args:
        degrees: degrees of freedom, above 0; the fewer, the heavier the tails.
        x_dimensions: length of x.
        y_dimensions: length of y.
        correlation: off-diagonal entry of the dispersion matrix, in [0, 1).
        samples: number of pairs.
        seed: decides the pairs.

    Raises:
        InputError: degrees or correlation are out of range.
    """
    if not degrees > 0:
        raise InputError(f"the degrees of freedom must be positive, not {degrees}")
    gaussian = dense_gaussian(
        correlation=correlation,
        x_dimensions=x_dimensions,
        y_dimensions=y_dimensions,
        samples=samples,
        seed=seed,
    )
    scale = _chi_square(degrees, samples, seed).div(degrees).rsqrt()
    tails = student_t_information(degrees, x_dimensions, y_dimensions)
    return Sample(gaussian.x * scale, gaussian.y * scale, gaussian.nats + tails)


def half_cube(sample: Sample) -> Sample:
    """Both x and y bent by v * sqrt(|v|) in each coordinate, information unchanged."""
    x, y = (values * values.abs().sqrt() for values in (sample.x, sample.y))
    return Sample(x, y, sample.nats)


def permuted(sample: Sample, *, seed: int = 0) -> Sample:
    """The same marginals with the partners shuffled: no information is left."""
    generator = torch.Generator().manual_seed(seed)
    return Sample(sample.x, sample.y[torch.randperm(len(sample.y), generator=generator)], 0.0)


def gaussian_information(covariance: Tensor, x_dimensions: int) -> float:
    """I(x; y) in nats of a normal vector whose first `x_dimensions` coordinates are x.

    Args:
        covariance: positive definite, shape (dx + dy, dx + dy).
        x_dimensions: dx.
    """
    x, y = covariance[:x_dimensions, :x_dimensions], covariance[x_dimensions:, x_dimensions:]
    return 0.5 * float(x.logdet() + y.logdet() - covariance.logdet())


def student_t_information(degrees: float, x_dimensions: int, y_dimensions: int) -> float:
    """What the tails of a multivariate Student-t add to the information of its dispersion, in nats.

    Source: Arellano-Valle, Contreras-Reyes & Genton, Scandinavian Journal of Statistics 2013.
    """

    def entropy(dimensions: int) -> float:
        half, total = degrees / 2, (degrees + dimensions) / 2
        digamma = torch.tensor([total, half], dtype=torch.float64).digamma()
        return (
            math.lgamma(half)
            - math.lgamma(total)
            + dimensions / 2 * math.log(degrees * math.pi)
            + total * float(digamma[0] - digamma[1])
        )

    return entropy(x_dimensions) + entropy(y_dimensions) - entropy(x_dimensions + y_dimensions)


def _normal(seed: int, rows: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def _equicorrelation(correlation: float, dimensions: int) -> Tensor:
    if not 0 <= correlation < 1:
        raise InputError(f"the correlation must be 0 or more and below 1, not {correlation}")
    covariance = torch.full((dimensions, dimensions), correlation, dtype=torch.float64)
    return covariance.fill_diagonal_(1.0)


def _chi_square(degrees: float, samples: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).chisquare(degrees, size=(samples, 1)))
