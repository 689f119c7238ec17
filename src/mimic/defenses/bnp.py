"""BNP: switch off the channels whose clean statistics are not those that training has seen.

Zheng et al., "Pre-activation Distributions Expose Backdoor Neurons", NeurIPS 2022. An encoder
trained on poisoned images has gathered, in the running statistics of its batch normalisations,
pre-activations of triggered images as well; on clean images backdoor channels look different.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mimic.defenses.base import Defense, Purification
from mimic.defenses.channels import batch_norms, outliers, prune
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import History, Trainer


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean and variance of each channel.

    Attributes:
        count: values per channel.
        mean: float64, shape (channels,).
        variance: likewise, population variance.
    """

    count: int
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, activations: Tensor) -> "Moments":
        """Moments of activations (batch, channels, ...)."""
        values = activations.float().transpose(0, 1).flatten(1)
        variance, mean = torch.var_mean(values, dim=1, correction=0)
        return cls(
            count=values.shape[1], mean=mean.cpu().double(), variance=variance.cpu().double()
        )

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of values together (Chan et al., 1979)."""
        count = self.count + other.count
        share = other.count / count
        apart = other.mean - self.mean
        variance = torch.lerp(self.variance, other.variance, share)
        return Moments(
            count=count,
            mean=self.mean + share * apart,
            variance=variance + share * (1 - share) * apart**2,
        )


def input_moments(encoder: Encoder, images: ImageSet, trainer: Trainer) -> dict[str, Moments]:
    """What comes into each batch normalisation on these images, in eval mode and full precision.

    Returns:
        Moments by dotted name in the backbone, of those normalisations that are used.
    """
    found: dict[str, Moments] = {}

    def look(_: nn.Module, inputs: tuple[Any, ...], *, name: str) -> None:
        moments = Moments.of(inputs[0])
        found[name] = found[name] + moments if name in found else moments

    norms = batch_norms(encoder)
    handles = [m.register_forward_pre_hook(partial(look, name=n)) for n, m in norms.items()]
    try:
        extract_features(encoder, images, trainer=replace(trainer, precision="32-true"))
    finally:
        for handle in handles:
            handle.remove()
    return found


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
