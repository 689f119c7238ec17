"""BNP: switch off the channels whose clean statistics are not those that training has seen.

Zheng et al., "Pre-activation Distributions Expose Backdoor Neurons", NeurIPS 2022. An encoder
trained on poisoned images has gathered, in the running statistics of its batch normalisations,
pre-activations of triggered images as well; on clean images backdoor channels look different.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mimic.defenses.base import Defense, Purification
from mimic.defenses.channels import outliers, prune
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.moments import Moments, input_moments
from mimic.images.imageset import ImageSet
from mimic.training import History, Trainer


def divergence(clean: Moments, norm: nn.BatchNorm2d, *, as_coded: bool = False) -> Tensor:
    """Kullback-Leibler divergence of clean pre-activations from the running statistics.

    Both are taken to be Gaussian, and `norm.eps` is added to both variances.

    Args:
        clean: moments of the normalisation's input.
        norm: what it is compared with. Without running statistics nothing diverges.
        as_coded: take the logarithm of the ratio of variances where the formula has that of
            standard deviations, as BackdoorBench does; not a divergence any more.

    Returns:
        nats, float64, shape (channels,); 0 or more unless `as_coded`.
    """
    if norm.running_mean is None or norm.running_var is None:
        return torch.zeros_like(clean.mean)
    variance = clean.variance + norm.eps
    running_mean = norm.running_mean.detach().cpu().double()
    running_variance = norm.running_var.detach().cpu().double() + norm.eps
    logarithm = (running_variance / variance).log() * (1 if as_coded else 0.5)
    apart = (clean.mean - running_mean) ** 2
    return logarithm + (variance + apart) / (2 * running_variance) - 0.5


@dataclass(frozen=True, kw_only=True)
class Bnp(Defense):
    """Pruning by batch-normalisation statistics: one forward pass, nothing is trained.

    Attributes:
        epochs: 0; nothing is trained.
        seed: not used, since nothing is random.
        deviations: a channel goes if it lies more than this many standard deviations above the
            mean of its layer, 0 or more.
        as_coded: score channels by the formula of BackdoorBench's code, whose logarithm is twice
            as large as it should be.

    Raises:
        InputError: `deviations` is negative or not a number.
    """

    trains: ClassVar[bool] = False

    epochs: int = 0
    deviations: float = 3.0
    as_coded: bool = False

    def __post_init__(self) -> None:
        if not self.deviations >= 0:
            raise InputError(f"deviations must be 0 or more, not {self.deviations}")

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Compare, then prune all layers at once."""
        norms = batch_norms(suspect)
        scores = {
            name: divergence(moments, norms[name], as_coded=self.as_coded)
            for name, moments in input_moments(suspect, images, trainer).items()
        }
        prune(suspect, {name: outliers(s, self.deviations) for name, s in scores.items()})
        return Purification(encoder=suspect, history=History())
