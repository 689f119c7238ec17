"""MEDIC: a random student that copies those activations of the suspect that matter.

Xu et al., "MEDIC: Remove Model Backdoors via Importance Driven Cloning", CVPR 2023. The original
asks a labelled loss what matters; here it is the agreement of the suspect's own features of two
views of an image.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from mimic.defenses.base import Defense, Purification
from mimic.defenses.channels import CONVOLUTIONS
from mimic.encoders.batch_norms import BATCH_NORMS
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating, tap
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.losses.importance import importance, matching_loss
from mimic.losses.maps import as_map
from mimic.pretraining.simclr import SimClrObjective
from mimic.seeds import seed_of
from mimic.training import Plan, Trainer
from mimic.training.randomness import seeded

LAYERS = (*CONVOLUTIONS, *BATCH_NORMS, nn.Linear, nn.LayerNorm, nn.GroupNorm)
"""Whose outputs are compared; in a convolutional network these are the source's own."""
OBSERVED_BATCHES = 100
"""Over how many batches means and variances of activations are averaged."""
_FLAT = 1e-6
"""A channel is dead below this share of the mean variance of its layer."""


def layer_channels(teacher: Encoder, example: Tensor) -> dict[str, int]:
    """Layers whose outputs depend on the image, found by one forward pass.

    Args:
        teacher: frozen; nothing in it changes.
        example: images, shape (n, 3, height, width).

    Returns:
        Number of channels by dotted name in the backbone.

    Raises:
        InputError: there is no such layer.
    """
    names = [
        n for n, module in teacher.backbone.named_modules() if n and isinstance(module, LAYERS)
    ]
    image = to_unit_range(example[:1]).detach().to(teacher.mean.device).requires_grad_()
    with torch.enable_grad(), evaluating(teacher), tap(teacher.backbone, names) as outputs:
        teacher(image)
    found = {n: outputs[n] for n in names if n in outputs and outputs[n].requires_grad}
    if not found:
        raise InputError(
            "no convolution, linear layer or normalisation inside this encoder depends on the "
            "image, so there is nothing to compare; take another method, such as mimic"
        )
    return {name: _as_channels(output).shape[1] for name, output in found.items()}


def _as_channels(output: Tensor) -> Tensor:
    """Outputs of a layer as float32 maps (batch, channels, height, width)."""
    return (output[:, :, None, None] if output.ndim == 2 else as_map(output)).float()


class Spread(nn.Module):
    """Mean and variance of every channel of the teacher, averaged over its first batches.

    Args:
        channels: how many each layer has.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.register_buffer("mean", torch.zeros(sum(channels)))
        self.register_buffer("variance", torch.zeros(sum(channels)))
        self.register_buffer("batches", torch.tensor(0))

    @torch.no_grad()
    def observe(self, maps: Sequence[Tensor]) -> None:
        """Take one batch into account, unless there were `OBSERVED_BATCHES` already.

        Args:
            maps: of each layer, shape (batch, channels, height, width).
        """
        if int(self.batches) >= OBSERVED_BATCHES:
            return
        self.batches += 1
        share = 1 / int(self.batches)
        found = [torch.var_mean(layer, dim=(0, 2, 3), correction=0) for layer in maps]
        self.variance.lerp_(torch.cat([variance for variance, _ in found]), share)
        self.mean.lerp_(torch.cat([mean for _, mean in found]), share)

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Per layer, means and standard deviations of its channels; 0 for a dead channel."""
        deviations = [
            variance.where(variance > _FLAT * variance.mean(), 0).sqrt()
            for variance in self.variance.split(self.channels)
        ]
        return list(zip(self.mean.split(self.channels), deviations, strict=True))


class MedicObjective(SimClrObjective):
    """NT-Xent, and matching of the activations that matter to the teacher.

    Args:
        student: what is trained, with a fresh projection head.
        teacher: frozen, but differentiable with respect to its activations.
        size: height and width of the images, in pixels.
        layers: numbers of channels by name; see `layer_channels`.
        matching_weight: of the sum over layers.
        temperature, grad_norm: see `importance`.
    """

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        size: tuple[int, int],
        *,
        layers: Mapping[str, int],
        matching_weight: float,
        temperature: float,
        grad_norm: bool,
    ) -> None:
        super().__init__(student, size)
        # Among what is learned, so that a resumed run goes on with the same statistics.
        self.learner["spread"] = Spread(list(layers.values()))
        self.teacher = teacher.requires_grad_(False)
        self.names = tuple(layers)
        self.matching_weight = matching_weight
        self.temperature = temperature
        self.grad_norm = grad_norm

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of the student over both views; the teacher goes there and back."""
        views = self.views(batch)
        wanted, gradients = self.ask(views)
        spread = cast(Spread, self.learner["spread"])
        spread.observe(wanted)
        features, outputs = self.encoder.forward_stages(views, self.names)
        maps = [_as_channels(output) for output in outputs.values()]
        weigh = partial(importance, temperature=self.temperature, grad_norm=self.grad_norm)
        losses = [
            matching_loss(own, theirs, weigh(theirs, slopes, mean, deviation), deviation)
            for own, theirs, slopes, (mean, deviation) in zip(
                maps, wanted, gradients, spread.layers(), strict=True
            )
        ]
        matching = self.matching_weight * torch.stack(losses).sum()
        return self.contrast(features) | {"matching": matching}

    def ask(self, views: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The teacher's activations, and how its loss depends on them.

        The loss is the clone loss between two views; it has no gradient where they are equal.

        Args:
            views: floats in [0, 1], shape (2 * batch, 3, height, width), first views first.

        Returns:
            Activations and gradients per layer, shape (2 * batch, channels, height, width).
        """
        with torch.enable_grad():
            # The weights are frozen: gradients reach the activations because the images ask.
            asked = views.detach().requires_grad_()
            features, outputs = self.teacher.forward_stages(asked, self.names)
            loss = clone_loss(*features.chunk(2))
            found = torch.autograd.grad(loss, list(outputs.values()), materialize_grads=True)
        return [_as_channels(o.detach()) for o in outputs.values()], list(map(_as_channels, found))


@dataclass(frozen=True, kw_only=True)
class Medic(Defense):
    """Train a random encoder by SimCLR while it copies the suspect's important activations.

    Attributes:
        batch_size: images of a step; each contributes two views.
        learning_rate: peak rate of Adam, cosine schedule.
        matching_weight: of the importance-weighted distance of activations, 0 or more.
        temperature: how sharply important neurons stand out, 0 or more; 0 weighs all alike.
        grad_norm: divide each layer's gradients by their standard deviation. The released code does
            not; its gradients are so small that their softmax says next to nothing.

    Raises:
        InputError: the weight or the temperature is negative or infinite.
    """

    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 0.01
    matching_weight: float = 10.0
    temperature: float = 5.0
    grad_norm: bool = True

    def __post_init__(self) -> None:
        for name in ("matching_weight", "temperature"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise InputError(f"{name} must be 0 or more and finite, not {value}")

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The student starts from random weights."""
        student = suspect.reinitialized(seed_of("student", self.seed))
        teacher = suspect.requires_grad_(False)
        with seeded(self.seed):
            objective = MedicObjective(
                student,
                teacher,
                images.size,
                layers=layer_channels(teacher, images.batch(torch.arange(1))),
                matching_weight=self.matching_weight,
                temperature=self.temperature,
                grad_norm=self.grad_norm,
            )
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=1e-4,
            seed=self.seed,
        )
        history = trainer.fit(objective, images, plan, name="medic")
        return Purification(encoder=student, history=history)
