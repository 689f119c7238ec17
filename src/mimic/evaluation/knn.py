"""Weighted k nearest neighbours: what a feature's surroundings say, without any training."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.evaluation.heads import Head, class_columns
from mimic.training import Trainer

_SIMILARITIES_AT_ONCE = 1 << 24


class NearestNeighbours(Head):
    """Votes of the nearest features of a bank, the nearer the heavier.

    The score of a class is the sum of exp(s / temperature) over its members among the k largest
    inner products s of the query with the bank. Ties go to the smaller label.

    Args:
        bank: features of unit length, shape (n, dimension).
        labels: of the bank, shape (n,).
        k: neighbours that vote; lowered to the size of the bank.
        temperature: above 0; the smaller, the more the nearest ones decide.

    Raises:
        InputError: a setting is out of range, or bank and labels do not fit together.

    Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
    CVPR 2018, arXiv:1805.01978; k and temperature as in BadEncoder's code.
    """

    bank: Tensor
    columns: Tensor

    def __init__(
        self, bank: Tensor, labels: Tensor, *, k: int = 200, temperature: float = 0.5
    ) -> None:
        classes, columns = class_columns(bank, labels)
        super().__init__(classes)
        if k < 1:
            raise InputError(f"the number of neighbours must be 1 or more, not {k}")
        if not temperature > 0:
            raise InputError(f"the temperature must be above 0, not {temperature}")
        self.k = min(k, len(bank))
        self.temperature = temperature
        self.register_buffer("bank", bank)
        self.register_buffer("columns", columns)

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, dimension) to scores (n, classes), relative to the heaviest vote."""
        chunk = max(1, _SIMILARITIES_AT_ONCE // len(self.bank))
        return torch.cat([self._votes(part) for part in features.split(chunk)])

    def _votes(self, queries: Tensor) -> Tensor:
        nearest, members = (queries @ self.bank.T).topk(self.k, dim=1)
        # a common factor per query changes no order of classes, and exp never overflows
        weights = ((nearest - nearest[:, :1]) / self.temperature).exp()
        scores = weights.new_zeros(len(queries), len(self.classes))
        return scores.scatter_add_(1, self.columns[members], weights)


def fit_knn(
    features: Tensor,
    labels: Tensor,
    *,
    seed: int = 0,
    trainer: Trainer | None = None,
    k: int = 200,
    temperature: float = 0.5,
) -> Head:
    """Nearest neighbours in `features`, which are scaled to unit length.

    Args:
        features: shape (n, dimension).
        labels: shape (n,).
        seed: unused, nothing is random.
        trainer: unused, nothing is trained.
        k: neighbours that vote.
        temperature: of their weights.

    Raises:
        InputError: a setting is out of range, or features and labels do not fit together.
    """
    bank = F.normalize(features.float(), dim=1) if features.ndim == 2 else features
    return NearestNeighbours(bank, labels, k=k, temperature=temperature)
