"""Gram loss: which images are alike is the same for the student and for the teacher."""

from torch import Tensor

from mimic.losses.pairs import cosines
from mimic.training.joint import joint


def gram_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the cosines between the images of a batch.

    With Z the normalised features, ||Z_s Z_s^T - Z_t Z_t^T||_F^2 / batch^2. It knows nothing of
    directions, only of angles between images, so that the dimensions may differ.

    Args:
        student: features, shape (batch, dimension).
        teacher: features of the same images, shape (batch, any dimension); gradients flow into
            both, so detach it.

    Returns:
        A scalar in [0, 4]; it ignores the lengths of features and any rotation of either side.

    Source: in the spirit of similarity-preserving distillation, Tung & Mori, ICCV 2019,
        arXiv:1907.09682, with rows normalised before the product and not after it.
    """
    student, teacher = joint(student), joint(teacher)
    return (cosines(student) - cosines(teacher)).square().mean()
