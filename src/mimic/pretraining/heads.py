"""Projection heads: trained with the encoder, thrown away afterwards."""

from torch import nn


def projection_head(inputs: int, *, hidden: int | None = None, outputs: int = 128) -> nn.Module:
    """Linear, batch normalisation, ReLU, linear: the head of SimCLR on CIFAR.

    Args:
        inputs: dimension of the feature.
        hidden: width of the hidden layer; the feature's dimension by default.
        outputs: dimension of the projection.

    Source: released code of BadEncoder and MIMIC (512-512-128 on ResNet-18); with other widths the
        projector and the predictor of BYOL (Grill et al., NeurIPS 2020, arXiv:2006.07733).
    """
    hidden = hidden or inputs
    return nn.Sequential(
        nn.Linear(inputs, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, outputs),
    )


def plain_head(inputs: int, *, outputs: int = 128) -> nn.Module:
    """Linear, ReLU, linear, without batch normalisation: the head of MoCo v2.

    Args:
        inputs: dimension of the feature, and width of the hidden layer.
        outputs: dimension of the projection.

    Source: Chen et al., arXiv:2003.04297.
    """
    return nn.Sequential(
        nn.Linear(inputs, inputs), nn.ReLU(inplace=True), nn.Linear(inputs, outputs)
    )


def deep_head(inputs: int, *, outputs: int = 2048) -> nn.Module:
    """Three linear layers, each with batch normalisation: the projector of SimSiam.

    Args:
        inputs: dimension of the feature, and width of the hidden layers.
        outputs: dimension of the projection; its normalisation has no scale and no shift.

    Source: Chen & He, CVPR 2021, arXiv:2011.10566.
    """
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Linear(inputs, inputs, bias=False), nn.BatchNorm1d(inputs)]
        layers += [nn.ReLU(inplace=True)]
    layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs, affine=False)]
    return nn.Sequential(*layers)
