"""Attention loss: the student looks where the teacher looks."""

from torch import Tensor

from mimic.losses.maps import as_map


def attention_map(feature_map: Tensor, power: int = 2) -> Tensor:
    """Spatial attention of a feature map, normalised per image.

    Args:
        feature_map: activations, shape (batch, channels, height, width), or tokens (batch, tokens,
            dimension).
        power: exponent of the absolute activation before the sum over channels.

    Returns:
        Maps of unit Frobenius norm, shape (batch, height, width); tokens give (batch, tokens, 1).

    Source: Zagoruyko & Komodakis, ICLR 2017, arXiv:1612.03928, equation 1.
    """
    attention = as_map(feature_map).float().abs().pow(power).sum(dim=1)
    return attention / (attention.flatten(1).norm(dim=1)[:, None, None] + 1e-6)


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two attention maps.

    Args:
        student: feature map, shape (batch, channels, height, width); channels may differ.
        teacher: feature map of the same images, same height and width.

    Returns:
        A scalar in [0, 2 / (height * width)]; it ignores the scale of either map.

    Source: as `attention_map`; the mean over positions is that of the released MIMIC code.
    """
    return (attention_map(student) - attention_map(teacher)).square().mean()
