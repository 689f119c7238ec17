"""Curves between two encoders: quadratic, the ends fixed, the middle trained.

Garipov et al., "Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs", NeurIPS 2018,
arXiv:1802.10026. A point on the curve is an encoder that was never trained itself; its batch
normalisation needs statistics of its own.
"""

import math
from contextlib import closing
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mimic.encoders.batch_norms import BATCH_NORMS
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.contrastive import nt_xent
from mimic.pretraining.base import TwoViews
from mimic.training import History, Plan, Trainer
from mimic.training.precision import open_fabric
from mimic.training.randomness import isolated_randomness, seed_step
from mimic.training.reading import read_batches

Weights = dict[str, Tensor]

MIN_SCALE = 0.08


def check_point(point: float) -> None:
    """Refuse a point that is not on the curve.

    Raises:
        InputError: it is not in [0, 1].
    """
    if not 0 <= point <= 1:
        raise InputError(f"the point on the curve must lie between 0 and 1, not at {point}")


def bezier(start: Weights, middle: Weights, end: Weights, point: float) -> Weights:
    """Weights at a point of the curve: (1-t)^2 start + 2t(1-t) middle + t^2 end.

    Args:
        start, middle, end: tensors of the same names and shapes.
        point: t, in [0, 1]; 0 and 1 give exactly the ends.
    """
    return {
        name: (1 - point) ** 2 * start[name]
        + 2 * point * (1 - point) * middle[name]
        + point**2 * end[name]
        for name in start
    }


def halfway(start: Encoder, end: Encoder) -> Encoder:
    """A new encoder whose weights are the mean of two others'; all are trainable."""
    middle = start.copy().requires_grad_(True)
    other = dict(end.named_parameters())
    with torch.no_grad():
        for name, weight in middle.named_parameters():
            weight.add_(other[name]).div_(2)
    return middle


class CurveObjective(TwoViews):
    """NT-Xent at a random point of the curve in each step.

    The projection head is one for the whole curve, and is trained with the middle.

    Args:
        start, end: encoders, left as they are; the curve begins and ends there.
        head: projection head, trained in place.
        size: height and width of the images, in pixels.
        decay: of half the squared length of the weights at the point.
        shared_point: False draws another point for the second views.
        temperature: of NT-Xent.

    Source: the loss is that of the self-supervised half of TSC, arXiv:2506.07467.
    """

    def __init__(
        self,
        start: Encoder,
        end: Encoder,
        head: nn.Module,
        size: tuple[int, int],
        *,
        decay: float = 0.0,
        shared_point: bool = True,
        temperature: float = 0.5,
    ) -> None:
        learner = {"encoder": halfway(start, end), "head": head}
        super().__init__(learner, size, min_scale=MIN_SCALE)
        self.start = start.copy().requires_grad_(False)
        self.end = end.copy().requires_grad_(False)
        self.decay, self.shared_point = decay, shared_point
        self.temperature = temperature

    def weights_at(self, point: float) -> Weights:
        """Weights at a point in [0, 1], differentiable in those of the middle."""
        start, middle, end = (
            dict[str, Tensor](part.named_parameters())
            for part in (self.start, self.encoder, self.end)
        )
        return bezier(start, middle, end, point)

    def encoder_at(self, point: float) -> Encoder:
        """A new encoder at a point in [0, 1], with the buffers of the nearer end."""
        found = (self.start if point < 0.5 else self.end).copy()
        weights = self.weights_at(point)
        with torch.no_grad():
            for name, weight in found.named_parameters():
                weight.copy_(weights[name])
        return found

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass over both views, or one over each where the points differ."""
        views = self.views(batch)
        parts = (views,) if self.shared_point else views.chunk(2)
        points = [self.weights_at(torch.rand(()).item()) for _ in parts]
        features = torch.cat(
            [
                functional_call(self.encoder, weights, (part,))
                for weights, part in zip(points, parts, strict=True)
            ]
        )
        first, second = self.learner["head"](features).chunk(2)
        terms = {"contrastive": nt_xent(first, second, self.temperature)}
        if self.decay:
            lengths = [w.square().sum() for weights in points for w in weights.values()]
            terms["decay"] = 0.5 * self.decay * torch.stack(lengths).sum() / len(points)
        return terms


def follow(
    objective: CurveObjective,
    images: ImageSet,
    plan: Plan,
    trainer: Trainer,
    *,
    point: float,
    name: str,
) -> tuple[Encoder, History]:
    """Train a curve and give the encoder at one of its points, with its own statistics."""
    history = trainer.fit(objective, images, plan, name=name)
    found = objective.encoder_at(point)
    recompute_statistics(found, images, batch_size=plan.batch_size, seed=plan.seed, trainer=trainer)
    return found, history


def recompute_statistics(
    encoder: Encoder, images: ImageSet, *, batch_size: int, seed: int, trainer: Trainer
) -> None:
    """Measure the statistics of batch normalisation anew, in place: means over one pass.

    The weights stay; the counts of batches go on. The encoder ends in eval mode, on the trainer's
    device. Without batch normalisation nothing happens.

    Args:
        encoder: its running means and variances are replaced.
        images: one random view of each is looked at.
        batch_size: largest number of images of a forward pass; all batches are about equal.
        seed: of the views.
        trainer: the environment.
    """
    encoder.eval()
    norms: list[Any] = [
        module
        for module in encoder.modules()
        if isinstance(module, BATCH_NORMS) and module.track_running_stats
    ]
    if not norms:
        return
    usual = [(norm.momentum, int(norm.num_batches_tracked)) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    _look(encoder, images, batch_size, seed, trainer)
    for norm, (momentum, counted) in zip(norms, usual, strict=True):
        norm.momentum = momentum
        norm.num_batches_tracked += counted
    encoder.eval()


@torch.no_grad()
def _look(encoder: Encoder, images: ImageSet, batch_size: int, seed: int, trainer: Trainer) -> None:
    """One forward pass over a random view of each image."""
    fabric = open_fabric(trainer.device, trainer.precision)
    encoder.to(fabric.device)
    augment = Augmentation(images.size, min_scale=MIN_SCALE).to(fabric.device)
    count = math.ceil(len(images) / batch_size)
    chunks = torch.tensor_split(torch.arange(len(images)), count)
    with (
        isolated_randomness(fabric.device),
        closing(read_batches(images, chunks)) as batches,
        fabric.autocast(),
    ):
        seed_step(fabric.device, seed)
        for batch in batches:
            encoder(augment(to_unit_range(fabric.to_device(batch))))
