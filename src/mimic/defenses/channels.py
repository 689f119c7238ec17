"""Channels: which convolution feeds which batch normalisation, and switching channels off.

Pruning defences judge a channel and switch it off by setting weight and bias of its batch
normalisation to zero. In a residual network the skip path stays alive.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mimic.encoders.batch_norms import BATCH_NORMS, batch_norms
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating
from mimic.errors import InputError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

Pruned = Mapping[str, Tensor]
"""Per batch normalisation, by dotted name in the backbone: True for channels switched off."""


@dataclass(frozen=True, kw_only=True)
class NormalizedConvolution:
    """A convolution and the batch normalisation of its output.

    Attributes:
        convolution: dotted name in the backbone.
        norm: likewise.
    """

    convolution: str
    norm: str


@torch.no_grad()
def normalized_convolutions(encoder: Encoder, example: Tensor) -> tuple[NormalizedConvolution, ...]:
    """Pairs found by following tensors through one forward pass, not by the order of modules.

    Args:
        encoder: in any mode; nothing in it changes.
        example: images, shape (n, 3, height, width).

    Raises:
        InputError: no convolution is followed by a batch normalisation.
    """
    backbone = encoder.backbone
    producers: list[tuple[Tensor, str]] = []
    pairs: list[NormalizedConvolution] = []

    def produced(_: nn.Module, __: Any, output: Tensor, *, name: str) -> None:
        producers.append((output, name))

    def consumed(_: nn.Module, inputs: tuple[Tensor, ...], *, name: str) -> None:
        for output, convolution in producers:
            if output is inputs[0]:
                pairs.append(NormalizedConvolution(convolution=convolution, norm=name))

    handles = []
    try:
        for name, module in backbone.named_modules():
            if isinstance(module, CONVOLUTIONS):
                handles.append(module.register_forward_hook(partial(produced, name=name)))
            elif isinstance(module, BATCH_NORMS) and module.affine:
                handles.append(module.register_forward_pre_hook(partial(consumed, name=name)))
        with evaluating(encoder):
            encoder(example[:1].to(encoder.mean.device))
    finally:
        for handle in handles:
            handle.remove()
    if not pairs:
        raise InputError(
            "no convolution of this encoder is followed by a batch normalisation, which this "
            "method needs; take one that trains all weights, such as mimic or finetune"
        )
    return tuple(pairs)


@torch.no_grad()
def prune(encoder: Encoder, pruned: Pruned) -> None:
    """Switch channels off, in place: their normalisation's weight and bias become zero."""
    norms = batch_norms(encoder)
    for name, off in pruned.items():
        norms[name].weight[off.to(norms[name].weight.device)] = 0
        norms[name].bias[off.to(norms[name].bias.device)] = 0


def outliers(scores: Tensor, deviations: float) -> Tensor:
    """Channels that score more than mean + `deviations` * standard deviation of their layer.

    The sample standard deviation is used; in a layer of n channels no score lies further out than
    (n - 1) / sqrt(n), so few channels can never be outliers.

    Args:
        scores: shape (channels,).

    Returns:
        Booleans, shape (channels,).
    """
    if len(scores) < 2:
        return torch.zeros_like(scores, dtype=torch.bool)
    return scores > scores.mean() + deviations * scores.std()


def silent_channels(encoder: Encoder) -> int:
    """How many channels of all batch normalisations are switched off; 0 where there are none."""
    norms = [m for m in encoder.backbone.modules() if isinstance(m, BATCH_NORMS) and m.affine]
    return sum(int(((norm.weight == 0) & (norm.bias == 0)).sum()) for norm in norms)
