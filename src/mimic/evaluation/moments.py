"""Moments: mean and variance of what comes into each batch normalisation on some images."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import Trainer


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
