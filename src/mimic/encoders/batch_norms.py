"""Batch normalisations of an encoder: where it keeps the statistics of what it has seen."""

from typing import Any

from torch import nn

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def batch_norms(encoder: Encoder) -> dict[str, nn.BatchNorm2d]:
    """Batch normalisations with weight and bias, by dotted name in the backbone.

    Raises:
        InputError: there is none; a network of layer normalisations has no channels to judge.
    """
    found: dict[str, Any] = {
        name: module
        for name, module in encoder.backbone.named_modules()
        if isinstance(module, BATCH_NORMS) and module.affine
    }
    if not found:
        raise InputError(
            "this encoder has no batch normalisation, which this method needs; take one that "
            "trains all weights, such as mimic or finetune"
        )
    return found
