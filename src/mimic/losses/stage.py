"""Stage loss: the student's map agrees with the teacher's at every position."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.losses.maps import as_map, token_grid


def stage_loss(student: Tensor, teacher: Tensor, counted: Tensor | None = None) -> Tensor:
    """One minus the mean cosine between two maps over channels, position by position.

    Args:
        student: map (batch, channels, height, width) or tokens (batch, tokens, dimension).
        teacher: the same shape.
        counted: weights of positions in [0, 1], shape (batch, 1, image height, image width); they
            are averaged down to the map's resolution, or to the grid of tokens. None counts every
            position. Tokens that stand for no place are always counted: class token, registers,
            and all of them where they fit no grid.

    Returns:
        A scalar in [0, 2].
    """
    similarity = F.cosine_similarity(as_map(student).float(), as_map(teacher).float(), dim=1)
    if counted is None:
        return 1 - similarity.mean()
    if student.ndim == 3:
        weights = _of_tokens(counted.float(), similarity)
    else:
        _, height, width = similarity.shape
        weights = F.adaptive_avg_pool2d(counted.float(), (height, width)).squeeze(1)
    return ((1 - similarity) * weights).sum() / weights.sum().clamp_min(torch.finfo().eps)


def _of_tokens(counted: Tensor, similarity: Tensor) -> Tensor:
    """The weight of every token, shape (batch, tokens, 1) as that of their similarities."""
    weights = torch.ones_like(similarity)
    grid = token_grid(similarity.shape[1], (counted.shape[2], counted.shape[3]))
    if grid is not None:
        places = F.adaptive_avg_pool2d(counted, (grid.rows, grid.columns))
        weights[:, grid.extra :, 0] = places.flatten(1)
    return weights
