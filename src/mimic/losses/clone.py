"""Clone loss: the student's feature points where the teacher's points."""

from torch import Tensor
from torch.nn import functional as F


def clone_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the mean cosine between two sets of features.

    Args:
        student: features, shape (batch, dimension).
        teacher: features of the same images, same shape; gradients flow into both, so detach it.

    Returns:
        A scalar in [0, 2]; 0 where all directions agree.

    Source: Han et al., IEEE TIFS 2025, arXiv:2406.03508 (there without the constant one).
    """
    return 1 - F.cosine_similarity(student.float(), teacher.float(), dim=1).mean()
