"""Relational loss: distances and angles among the images of a batch are those of the teacher.

Both follow from inner products, so that differences of vectors, (batch, batch, dimension) numbers,
are never held. Cosines of triplets are (batch, batch, batch) numbers: only the first images of a
larger batch form triplets, which in a shuffled batch are a random choice.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.losses.pairs import inner_products
from mimic.training.joint import joint

DISTANCE_WEIGHT = 25.0
ANGLE_WEIGHT = 50.0
TRIPLETS_AMONG = 128
"""Images of a batch that form triplets: 2 million cosines, 8 MiB per tensor."""

_ROUNDING = 1e-6


def distances(outputs: Tensor) -> Tensor:
    """Euclidean distances of all pairs of images; 0 where rounding hides them.

    Args:
        outputs: maps, tokens or features of a batch; flattened per image.

    Returns:
        float32, shape (batch, batch), with zeros on the diagonal.
    """
    return _lengths(_centred_products(outputs))


def angle_cosines(outputs: Tensor) -> Tensor:
    """Cosines of the angles that all triplets of images form.

    Args:
        outputs: maps, tokens or features of a batch; flattened per image.

    Returns:
        float32, shape (batch, batch, batch): entry [j, i, k] is the cosine at image j between the
        directions to i and to k; 0 where one of these is j itself or lies on it.
    """
    inner = _centred_products(outputs)
    lengths = _lengths(inner)
    apart = lengths > 0
    inverse = torch.where(apart, 1 / torch.where(apart, lengths, 1.0), 0.0)
    at_corner = inner.diagonal()[:, None, None]
    products = inner[None] - inner[:, :, None] - inner[:, None, :] + at_corner
    return products * inverse[:, :, None] * inverse[:, None, :]


def relational_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 between relative distances, times 25, plus that between cosines, times 50.

    Args:
        student: maps, tokens or features of a batch; flattened per image.
        teacher: the same images; the width of an image's vector may differ.

    Returns:
        A scalar, 0 or more. Distances are divided by the mean of those above 0. Moving, rotating or
        scaling all vectors of either side changes nothing. Triplets are formed among the first 128
        images.

    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019, arXiv:1904.05068.
    """
    student, teacher = joint(student), joint(teacher)
    near = F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))
    few = slice(0, TRIPLETS_AMONG)
    angles = F.smooth_l1_loss(angle_cosines(student[few]), angle_cosines(teacher[few]))
    return DISTANCE_WEIGHT * near + ANGLE_WEIGHT * angles


def _relative_distances(outputs: Tensor) -> Tensor:
    found = distances(outputs)
    positive = (found > 0).sum().clamp_min(1)
    return found / (found.sum() / positive).clamp_min(torch.finfo(found.dtype).tiny)


def _centred_products(outputs: Tensor) -> Tensor:
    """Inner products after a shift to mean 0, which leaves fewer digits to cancel."""
    rows = outputs.flatten(1).float()
    return inner_products(rows - rows.mean(dim=0))


def _lengths(inner: Tensor) -> Tensor:
    """Distances from inner products; the square root never sees a 0, whose slope is infinite."""
    squared = inner.diagonal()
    both = squared[:, None] + squared[None, :]
    found = both - 2 * inner
    apart = (found > _ROUNDING * both).fill_diagonal_(False)
    return torch.where(apart, torch.where(apart, found, 1.0).sqrt(), 0.0)
