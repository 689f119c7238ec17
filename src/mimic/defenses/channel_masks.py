"""Channel masks: one factor per channel of every batch normalisation, learned, then cut off.

The network itself stays as it is: masked weights take the place of its own for one forward pass.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mimic.defenses.channels import Pruned, prune
from mimic.defenses.holdout import strongest_within
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

THRESHOLDS = tuple(step / 20 for step in range(19))
"""What masks are cut off at: 0 to 0.9, as in BackdoorBench."""

Noise = Mapping[str, Tensor]
"""By dotted name of the normalisation: what is added to the factors of its weight (row 0) and of
its bias (row 1), shape (2, channels)."""


class ChannelMasks(nn.Module):
    """One factor in [0, 1] per channel; all are 1 at first, which changes nothing.

    Args:
        encoder: whose batch normalisations get masks.

    Raises:
        InputError: it has no batch normalisation.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        norms = batch_norms(encoder)
        self.names = tuple(norms)
        self.values = nn.ParameterList(torch.ones_like(norm.weight) for norm in norms.values())

    def by_name(self) -> dict[str, Tensor]:
        """Masks (channels,) by dotted name of the normalisation in the backbone."""
        return dict(zip(self.names, self.values, strict=True))

    @torch.no_grad()
    def clip(self) -> None:
        """Bring all factors back into [0, 1]."""
        for value in self.values:
            value.clamp_(0, 1)

    def below(self, threshold: float) -> Pruned:
        """The channels whose factor is at most `threshold`."""
        return {name: mask.detach() <= threshold for name, mask in self.by_name().items()}


def masked_forward(
    encoder: Encoder, images: Tensor, masks: Mapping[str, Tensor], noise: Noise | None = None
) -> Tensor:
    """Features with weight * (mask + noise) and bias * (1 + noise) in each batch normalisation.

    Args:
        encoder: nothing in it changes if it is in eval mode.
        images: uint8, or floats in [0, 1]; shape (batch, 3, height, width).
        masks: shape (channels,), by dotted name in the backbone.
        noise: for each of these names; None adds none.

    Returns:
        Features, shape (batch, dimension); gradients flow to masks and noise.

    Source: Wu & Wang, NeurIPS 2021, arXiv:2110.14430.
    """
    norms = batch_norms(encoder)
    weights: dict[str, Tensor] = {}
    for name, mask in masks.items():
        norm = norms[name]
        factor = mask if noise is None else mask + noise[name][0]
        weights[f"backbone.{name}.weight"] = norm.weight * factor
        if noise is not None:
            weights[f"backbone.{name}.bias"] = norm.bias * (1 + noise[name][1])
    return functional_call(encoder, weights, (images,))


def prune_masked(
    suspect: Encoder, masks: ChannelMasks, judged: ImageSet, *, tolerance: float, trainer: Trainer
) -> Encoder:
    """Switch off, in a copy of the suspect, as many channels of small mask as the budget allows.

    Args:
        suspect: what is pruned, and what its features are compared with; left as it is.
        masks: learned ones.
        judged: images held out.
        tolerance: how far the mean cosine may fall below 1, in [0, 2].
        trainer: the environment.

    Returns:
        The copy pruned at the last of `THRESHOLDS` within the budget; not pruned if there is none.
    """

    def pruned_at(threshold: float) -> Encoder:
        encoder = suspect.copy()
        prune(encoder, masks.below(threshold))
        return encoder

    threshold = strongest_within(
        THRESHOLDS, pruned_at, suspect, judged, tolerance=tolerance, trainer=trainer
    )
    return suspect.copy() if threshold is None else pruned_at(threshold)
