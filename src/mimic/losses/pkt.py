"""Probabilistic knowledge transfer: an image's neighbours are as likely as for the teacher."""

from torch import Tensor

from mimic.losses.pairs import cosines
from mimic.training.joint import joint

_SMOOTHING = 1e-7


def neighbour_probabilities(outputs: Tensor) -> Tensor:
    """How probably each image picks each image of the batch, itself included, as a neighbour.

    Args:
        outputs: maps, tokens or features of a batch; flattened per image.

    Returns:
        Rows of sum 1, proportional to (cosine + 1) / 2, shape (batch, batch).
    """
    # rounding can take a cosine below -1, and a probability below 0
    likeness = ((cosines(outputs) + 1) / 2).clamp_min(0)
    return likeness / likeness.sum(dim=1, keepdim=True)


def transfer_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's neighbours from the teacher's, per pair.

    Args:
        student: maps, tokens or features of a batch; flattened per image.
        teacher: the same images; the width of an image's vector may differ.

    Returns:
        A scalar, the mean over all batch * batch pairs; 0 where the probabilities agree. A rotation
        or a scale of all vectors of either side changes nothing.

    Source: Passalis & Tefas, ECCV 2018, arXiv:1803.10837, with the cosine kernel.
    """
    student, teacher = joint(student), joint(teacher)
    own, wanted = neighbour_probabilities(student), neighbour_probabilities(teacher)
    return (wanted * ((wanted + _SMOOTHING) / (own + _SMOOTHING)).log()).mean()
