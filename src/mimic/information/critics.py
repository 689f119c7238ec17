"""Critics: small networks that score how well x and y belong together."""

import math

import torch
from torch import Tensor, nn

LOG_VARIANCE_LIMIT = 12.0


def perceptron(inputs: int, width: int, outputs: int, *, hidden: int = 2) -> nn.Sequential:
    """`hidden` layers of `width` with ReLU, then a linear one."""
    layers: list[nn.Module] = []
    for index in range(hidden):
        layers += [nn.Linear(width if index else inputs, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class SeparableCritic(nn.Module):
    """T(x, y) = g(x) . h(y): all pairs of a batch for the price of one matrix product.

    Args:
        x_dimensions, y_dimensions: lengths of x and y.
        width: of the two hidden layers of each tower.
        embedding: length of g(x) and h(y); the rank of the score matrix.
    """

    def __init__(
        self, x_dimensions: int, y_dimensions: int, *, width: int = 128, embedding: int = 32
    ) -> None:
        super().__init__()
        self.x_tower = perceptron(x_dimensions, width, embedding)
        self.y_tower = perceptron(y_dimensions, width, embedding)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores of all pairs, shape (len(x), len(y)), of x (n, dx) and y (m, dy)."""
        return self.x_tower(x) @ self.y_tower(y).T


class GaussianCritic(nn.Module):
    """log q(y | x) of a Gaussian with diagonal covariance whose mean and variance depend on x.

    The log-variance is bent, not cut, towards +-12: a standard deviation of 0.0025 to 400 for
    standardised y, so that sharp dependencies do not saturate it.

    Args:
        x_dimensions, y_dimensions: lengths of x and y.
        width: of the two hidden layers.
    """

    def __init__(self, x_dimensions: int, y_dimensions: int, *, width: int = 128) -> None:
        super().__init__()
        self.network = perceptron(x_dimensions, width, 2 * y_dimensions)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-densities log q(y_j | x_i), shape (len(x), len(y)), of x (n, dx) and y (m, dy)."""
        mean, raw = self.network(x).chunk(2, dim=1)
        log_variance = LOG_VARIANCE_LIMIT * torch.tanh(raw / LOG_VARIANCE_LIMIT)
        precision = torch.exp(-log_variance)
        # the square is expanded so that memory is n * m, not n * m * dy
        squares = precision @ y.square().T - 2 * (precision * mean) @ y.T
        constants = (precision * mean.square() + log_variance).sum(dim=1, keepdim=True)
        return -0.5 * (squares + constants + y.shape[1] * math.log(2 * math.pi))


class ConcatenatedCritic(nn.Module):
    """T(x, y) from both at once: richer than a separable one, and as dear as its number of pairs.

    Args:
        x_dimensions, y_dimensions: lengths of x and y.
        width: of the two hidden layers.
    """

    def __init__(self, x_dimensions: int, y_dimensions: int, *, width: int = 512) -> None:
        super().__init__()
        self.network = perceptron(x_dimensions + y_dimensions, width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores of the pairs (x_i, y_i), shape (n,), of x (n, dx) and y (n, dy)."""
        return self.network(torch.cat([x, y], dim=1)).squeeze(1)
