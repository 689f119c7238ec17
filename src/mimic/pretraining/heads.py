"""Projection heads: trained with the encoder, thrown away afterwards."""

from torch import nn


def projection_head(inputs: int, *, hidden: int | None = None, outputs: int = 128) -> nn.Module:
    """Linear, batch normalisation, ReLU, linear: the head of SimCLR on CIFAR.

    Args:
        inputs: dimension of the feature.
        hidden: width of the hidden layer; the feature's dimension by default.
        outputs: dimension of the projection.

    Source: released code of BadEncoder and MIMIC (512-512-128 on ResNet-18).
    """
    hidden = hidden or inputs
    return nn.Sequential(
        nn.Linear(inputs, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, outputs),
    )
