"""ANP: switch off the channels that react most when weights are perturbed against the encoder.

Wu & Wang, "Adversarial Neuron Pruning Purifies Backdoored Deep Models", NeurIPS 2021,
arXiv:2110.14430. Labels are replaced by the features that the suspect itself gives.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.defenses.base import Defense, Purification
from mimic.defenses.channel_masks import (
    ChannelMasks,
    masked_forward,
    prune_masked,
)
from mimic.defenses.holdout import check_tolerance, hold_out
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.training import Objective, Plan, Trainer


class AnpObjective(Objective):
    """Clone losses of the masked suspect, plain and under the worst noise that is found.

    Args:
        suspect: frozen; teacher, and student behind its masks.
        size: height and width of the images, in pixels.
        alpha: weight of the plain term, between two views; the perturbed one gets the rest.
        epsilon: largest noise on a channel's factors.
        steps: of gradient ascent on the noise.
    """

    learner: ChannelMasks

    def __init__(
        self,
        suspect: Encoder,
        size: tuple[int, int],
        *,
        alpha: float,
        epsilon: float,
        steps: int,
    ) -> None:
        super().__init__()
        self.learner = ChannelMasks(suspect)
        self.suspect = suspect.requires_grad_(False)
        self.augment = Augmentation(size)
        self.alpha, self.epsilon, self.steps = alpha, epsilon, steps

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The plain term compares two views, since with equal ones it starts without gradient."""
        images = to_unit_range(batch)
        views = self.augment(torch.cat([images, images]))
        with torch.no_grad():
            wanted, wanted_elsewhere = self.suspect(views).chunk(2)
        view, masks = views[: len(images)], self.learner.by_name()
        noise = self.worst_noise(view, wanted)
        plain = clone_loss(masked_forward(self.suspect, view, masks), wanted_elsewhere)
        perturbed = clone_loss(masked_forward(self.suspect, view, masks, noise), wanted)
        return {"plain": self.alpha * plain, "perturbed": (1 - self.alpha) * perturbed}

    def worst_noise(self, images: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Noise in [-epsilon, epsilon], by sign ascent on the clone loss from a random start.

        Args:
            images: floats in [0, 1], shape (batch, 3, height, width).
            wanted: features that the noise should lead away from, shape (batch, dimension).

        Returns:
            For `masked_forward`; without gradients.
        """
        masks = {name: mask.detach() for name, mask in self.learner.by_name().items()}
        noise = {
            name: mask.new_empty(2, len(mask)).uniform_(-self.epsilon, self.epsilon)
            for name, mask in masks.items()
        }
        for _ in range(self.steps):
            for value in noise.values():
                value.requires_grad_()
            loss = clone_loss(masked_forward(self.suspect, images, masks, noise), wanted)
            uphill = torch.autograd.grad(
                loss, list(noise.values()), allow_unused=True, materialize_grads=True
            )
            for name, direction in zip(noise, uphill, strict=True):
                moved = noise[name].detach() + self.epsilon / self.steps * direction.sign()
                noise[name] = moved.clamp(-self.epsilon, self.epsilon)
        return noise

    def after_step(self) -> None:
        """Masks stay in [0, 1]."""
        self.learner.clip()


@dataclass(frozen=True, kw_only=True)
class Anp(Defense):
    """Adversarial neuron pruning: learn a mask per channel under noise, prune where it is small.

    Attributes:
        epochs: of the masks, over the four fifths of the images that they are learned from.
        batch_size: images of a step.
        learning_rate: of SGD with momentum 0.9, constant.
        alpha: weight of the term without noise, in [0, 1].
        epsilon: largest noise on a channel's factors, 0 or more.
        steps: of gradient ascent on the noise, 1 or more.
        tolerance: how far pruning may bring the mean cosine to the suspect's features below 1, on
            the fifth of the images that is held out; in [0, 2].

    Raises:
        InputError: a setting is out of range.
    """

    epochs: int = 130
    batch_size: int = 128
    learning_rate: float = 0.2
    alpha: float = 0.2
    epsilon: float = 0.4
    steps: int = 1
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise InputError(f"alpha must be 0 to 1, not {self.alpha}")
        if not 0 <= self.epsilon < float("inf"):
            raise InputError(f"epsilon must be 0 or more, not {self.epsilon}")
        if self.steps < 1:
            raise InputError(f"the steps of ascent must be 1 or more, not {self.steps}")
        check_tolerance(self.tolerance)

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Learn masks, then prune the suspect itself."""
        learned, judged = hold_out(images, seed=self.seed)
        objective = AnpObjective(
            suspect, images.size, alpha=self.alpha, epsilon=self.epsilon, steps=self.steps
        )
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            schedule="constant",
            seed=self.seed,
        )
        history = trainer.fit(objective, learned, plan, name="anp")
        purified = prune_masked(
            suspect, objective.learner, judged, tolerance=self.tolerance, trainer=trainer
        )
        return Purification(encoder=purified, history=history)
