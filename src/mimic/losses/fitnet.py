"""Hint loss: the student's map is the teacher's map, number by number."""

from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError


def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two maps.

    Args:
        student: a map or tokens of a batch.
        teacher: the same shape.

    Returns:
        A scalar, 0 or more, in the square of the units of the maps: nothing is normalised.

    Raises:
        InputError: the shapes differ. FitNets put a trained 1x1 convolution between maps of
            different widths; a student of mimic has the architecture of its teacher.

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550.
    """
    if student.shape != teacher.shape:
        raise InputError(
            f"hints need maps of one shape, not {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}; take a student of the teacher's architecture"
        )
    return F.mse_loss(student.float(), teacher.float())
