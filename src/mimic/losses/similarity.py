"""Similarity-preserving loss: images that excite the teacher alike excite the student alike."""

from torch import Tensor
from torch.nn import functional as F

from mimic.losses.pairs import inner_products
from mimic.training.joint import joint


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of two Gram matrices whose rows are scaled to length 1.

    Args:
        student: maps, tokens or features of a batch; flattened per image.
        teacher: the same images; the width of an image's vector may differ.

    Returns:
        A scalar in [0, 4 / batch]; a rotation or a scale of all vectors of either side changes
        nothing.

    Source: Tung & Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019,
        arXiv:1907.09682.
    """
    student, teacher = joint(student), joint(teacher)
    own, wanted = (F.normalize(inner_products(outputs), dim=1) for outputs in (student, teacher))
    return (own - wanted).square().mean()
