"""CLP: switch off the channels that could amplify a trigger most; looks at weights, not images.

Zheng et al., "Data-free Backdoor Removal based on Channel Lipschitzness", ECCV 2022,
arXiv:2208.03111.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from mimic.defenses.base import Defense, Purification
from mimic.defenses.channels import NormalizedConvolution, normalized_convolutions, outliers, prune
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import History, Trainer


@torch.no_grad()
def channel_lipschitzness(convolution: nn.Module, norm: nn.BatchNorm2d) -> Tensor:
    """Upper bound of how far each channel amplifies a change of its input.

    The largest singular value of the channel's filter as a matrix (inputs, height * width), times
    what the batch normalisation multiplies it with.

    Args:
        convolution: with weights (channels, inputs, height, width).
        norm: of its output. Without running statistics it has no fixed factor: its variance counts
            as 1.

    Returns:
        float64, shape (channels,), 0 or more.

    Source: arXiv:2208.03111; its released code leaves out the eps of the normalisation.
    """
    filters = cast(Tensor, convolution.weight).double().flatten(2)
    largest = torch.linalg.matrix_norm(filters, ord=2)
    gain = norm.weight.double().abs()
    if norm.running_var is not None:
        gain = gain / (norm.running_var.double() + norm.eps).sqrt()
    return largest * gain


def amplifying_channels(
    encoder: Encoder, pairs: Iterable[NormalizedConvolution], *, deviations: float
) -> dict[str, Tensor]:
    """Outliers of `channel_lipschitzness` in their layer, by dotted name of the normalisation."""
    norms = batch_norms(encoder)
    found: dict[str, Tensor] = {}
    for pair in pairs:
        convolution, norm = encoder.backbone.get_submodule(pair.convolution), norms[pair.norm]
        off = outliers(channel_lipschitzness(convolution, norm), deviations)
        found[pair.norm] = found.get(pair.norm, torch.zeros_like(off)) | off
    return found


@dataclass(frozen=True, kw_only=True)
class Clp(Defense):
    """Channel-Lipschitzness-based pruning: one pass over the weights, nothing is trained.

    Attributes:
        epochs: 0; nothing is trained.
        seed: not used, since nothing is random.
        deviations: a channel goes if it lies more than this many standard deviations above the
            mean of its layer, 0 or more.

    Raises:
        InputError: `deviations` is negative or not a number.
    """

    trains: ClassVar[bool] = False

    epochs: int = 0
    deviations: float = 3.0

    def __post_init__(self) -> None:
        if not self.deviations >= 0:
            raise InputError(f"deviations must be 0 or more, not {self.deviations}")

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """One image shows which convolution feeds which normalisation; that is all it is for."""
        pairs = normalized_convolutions(suspect, images.batch(torch.arange(1)))
        prune(suspect, amplifying_channels(suspect, pairs, deviations=self.deviations))
        return Purification(encoder=suspect, history=History())
