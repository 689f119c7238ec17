"""Correlation congruence: images lie as close to one another as they do for the teacher."""

from torch import Tensor

from mimic.losses.maps import as_map
from mimic.losses.pairs import cosines
from mimic.training.joint import joint

GAMMA = 0.4


def correlations(outputs: Tensor) -> Tensor:
    """Gaussian kernel of all pairs of images, exp(-0.4 * |x - y|^2) of vectors of length 1.

    Args:
        outputs: maps, tokens or features of a batch; flattened per image.

    Returns:
        float32 in (0, 1], shape (batch, batch).
    """
    return (-2 * GAMMA * (1 - cosines(outputs))).exp()


def correlation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two matrices of correlations.

    Args:
        student: maps, tokens or features of a batch; flattened per image.
        teacher: the same images; the width of an image's vector may differ.

    Returns:
        A scalar in [0, 1]; the order of the images does not matter.

    Source: Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019,
        arXiv:1904.01802; the kernel itself, not its Taylor series, with gamma as in public ports.
    """
    student, teacher = joint(student), joint(teacher)
    return (correlations(student) - correlations(teacher)).square().mean()


def correlation_as_coded(student: Tensor, teacher: Tensor) -> Tensor:
    """What the code of the distillation study computes under the name of correlation congruence.

    The absolute differences of one image are multiplied with those of the next one. That is no
    correlation: it depends on the order of the batch, and it is 0 where every second image agrees.

    Args:
        student: map (batch, channels, height, width) or tokens, of two images or more.
        teacher: the same shape.

    Returns:
        A scalar, 0 or more; the sum over channels, averaged over pairs of neighbours and positions.

    Source: released code of Han et al., arXiv:2403.03846; only to be compared with.
    """
    apart = (as_map(student).float() - as_map(teacher).float()).abs()
    return (apart[:-1] * apart[1:]).sum(dim=1).mean()
