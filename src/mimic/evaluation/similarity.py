"""How alike features are: mean cosines, the numbers that need neither labels nor a trigger."""

from torch import Tensor


def paired_cosine(left: Tensor, right: Tensor) -> float:
    """Mean cosine between features in the same rows.

    Args:
        left: of unit length, shape (n, dimension).
        right: likewise, of the same images.
    """
    return float((left * right).sum(dim=1).mean())


def crossed_cosine(left: Tensor, right: Tensor) -> float:
    """Mean cosine between each row of `left` (n, dimension) and each of `right` (m, dimension)."""
    return float((left @ right.T).mean())
