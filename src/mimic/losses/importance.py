"""What matters to each image: weights of neurons, and a distance of activations that they weigh.

Xu et al., "MEDIC: Remove Model Backdoors via Importance Driven Cloning", CVPR 2023.
"""

import torch
from torch import Tensor


def importance(
    activations: Tensor,
    gradients: Tensor,
    mean: Tensor,
    deviation: Tensor,
    *,
    temperature: float,
    grad_norm: bool,
) -> Tensor:
    """How much each neuron of a layer matters to each image.

    The geometric mean of two softmaxes over the neurons: of the standardised activations, and of
    the gradients times the standard deviations, both with their signs and times the temperature.

    Args:
        activations: of the teacher, shape (batch, channels, height, width).
        gradients: of the teacher's loss with respect to them, same shape.
        mean, deviation: of each channel, shape (channels,); a deviation of 0 marks a dead one.
        temperature: factor of both, 0 or more; 0 makes all neurons alike.
        grad_norm: divide the gradients of the layer by their standard deviation first.

    Returns:
        Weights of 0 or more, same shape, without gradient. Those of an image sum to at most 1
        (Cauchy-Schwarz); neurons of dead channels have none.
    """
    centre, scale = mean.detach()[:, None, None], deviation.detach()[:, None, None]
    alive = (scale > 0).expand_as(activations)
    standardized = (activations.detach() - centre) / scale.where(scale > 0, 1)
    gradients = gradients.detach() * scale
    if grad_norm:
        gradients = gradients / _deviation(gradients, alive)
    logs = _log_shares(temperature * standardized, alive)
    logs = logs + _log_shares(temperature * gradients, alive)
    return (logs / 2).exp() * alive


def _deviation(values: Tensor, alive: Tensor) -> Tensor:
    """Standard deviation over all images and the neurons that are alive; above 0."""
    count = alive.sum().clamp_min(1)
    mean = values.where(alive, 0).sum() / count
    variance = (values - mean).where(alive, 0).square().sum() / count
    return variance.sqrt().clamp_min(1e-18)


def _log_shares(values: Tensor, alive: Tensor) -> Tensor:
    """Logarithm of the softmax over all neurons of each image that are alive."""
    values = values.masked_fill(~alive, torch.finfo(values.dtype).min)
    return values.flatten(1).log_softmax(dim=1).view_as(values)


def matching_loss(student: Tensor, teacher: Tensor, weights: Tensor, deviation: Tensor) -> Tensor:
    """Weighted squared distance of the activations of a layer, in standard deviations.

    Args:
        student, teacher: activations of the same images, shape (batch, channels, height, width).
        weights: of each neuron for each image, same shape; see `importance`.
        deviation: of each channel of the teacher, shape (channels,); 0 marks a dead one.

    Returns:
        A scalar of 0 or more: the sum over neurons, mean over images.
    """
    scale = deviation.where(deviation > 0, 1)[:, None, None]
    return (weights * ((teacher - student) / scale).square()).flatten(1).sum(dim=1).mean()
