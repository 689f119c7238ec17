"""Stage loss: the student's map agrees with the teacher's at every position."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.losses.maps import as_map


def stage_loss(student: Tensor, teacher: Tensor, counted: Tensor | None = None) -> Tensor:
    """One minus the mean cosine between two maps over channels, position by position.

    Args:
        student: map (batch, channels, height, width) or tokens (batch, tokens, dimension).
        teacher: the same shape.
        counted: weights of positions in [0, 1], shape (batch, 1, image height, image width); they
            are averaged down to the map's resolution. None counts every position; tokens without a
            grid are always counted.

    Returns:
        A scalar in [0, 2].
    """
    student, teacher = as_map(student).float(), as_map(teacher).float()
    similarity = F.cosine_similarity(student, teacher, dim=1)
    if counted is None or similarity.shape[-1] == 1:
        return 1 - similarity.mean()
    _, height, width = similarity.shape
    weights = F.adaptive_avg_pool2d(counted.float(), (height, width)).squeeze(1)
    return ((1 - similarity) * weights).sum() / weights.sum().clamp_min(torch.finfo().eps)
