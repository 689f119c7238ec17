"""Soft answers without classes: how a feature spreads over a bank of anchors."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.losses.maps import as_map


def anchor_loss(
    student: Tensor, teacher: Tensor, anchors: Tensor, temperature: float = 0.5
) -> Tensor:
    """Knowledge distillation with cosines to anchors in the place of logits.

    Args:
        student: features, shape (batch, dimension); normalised here.
        teacher: features of the same images, same shape.
        anchors: the teacher's features of other images, of length 1, shape (anchors, dimension).
        temperature: divisor of the cosines, above 0.

    Returns:
        A scalar, 0 or more: temperature^2 * KL(teacher's answer || student's), mean over images.

    Source: Hinton, Vinyals & Dean, arXiv:1503.02531, section 2; the anchors are ours.
    """
    # autocast would round the cosines to bfloat16
    with torch.autocast(student.device.type, enabled=False):
        own, wanted = (
            (F.normalize(features.float(), dim=1) @ anchors.float().T / temperature).log_softmax(1)
            for features in (student, teacher)
        )
    return temperature**2 * F.kl_div(own, wanted, reduction="batchmean", log_target=True)


class AnchorLoss(nn.Module):
    """`anchor_loss` with a bank of anchors.

    Args:
        anchors: features of length 1, shape (anchors, dimension).
    """

    anchors: Tensor

    def __init__(self, anchors: Tensor) -> None:
        super().__init__()
        self.register_buffer("anchors", anchors, persistent=False)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """A scalar; see `anchor_loss`."""
        return anchor_loss(student, teacher, self.anchors)


def channel_divergence_as_coded(
    student: Tensor, teacher: Tensor, temperature: float = 0.5
) -> Tensor:
    """What the code of the distillation study computes as knowledge distillation.

    Channels of a map stand in for classes, although they are none; and positions are summed while
    only the images are averaged, so that the value grows with the size of the map.

    Args:
        student: map (batch, channels, height, width) or tokens.
        teacher: the same shape.
        temperature: divisor of the activations, above 0.

    Returns:
        A scalar, 0 or more.

    Source: released code of Han et al., arXiv:2403.03846; only to be compared with.
    """
    own, wanted = (
        (as_map(outputs).float() / temperature).log_softmax(dim=1) for outputs in (student, teacher)
    )
    return temperature**2 * F.kl_div(own, wanted, reduction="batchmean", log_target=True)
