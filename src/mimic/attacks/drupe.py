"""DRUPE: a backdoor whose triggered features do not stand apart from those of clean images.

Tao et al., "Distribution Preserving Backdoor Attack in Self-supervised Learning", IEEE S&P 2024.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from mimic.attacks.controllers import Controllers
from mimic.attacks.finetuning import FineTuningAttack, ReferenceObjective
from mimic.attacks.similarity import sliced_wasserstein
from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.similarity import mean_cosine


@dataclass(frozen=True, kw_only=True, eq=False)
class Drupe(FineTuningAttack):
    """DRUPE with the settings of its authors for CIFAR-10, whose runs use three references.

    The phases are those of 120 epochs; a shorter run should shorten them as well.

    Attributes:
        trigger: what sends each image to the reference that suits it best.
        warmup_until: last epoch in which references only move apart.
        gather_until: last epoch without the terms that spread triggered features.
        fixed_until: last epoch that leaves the two weights below as they are.
        concentration_weight: first weight of the concentration of triggered features.
        distance_weight: first weight of their distance to clean features.

    Raises:
        InputError: there is one reference, batches are of one image, the phases are out of order,
            or a setting of `FineTuningAttack` is out of range.
    """

    name: ClassVar[str] = "drupe"
    summary: ClassVar[str] = "as BadEncoder, but hides triggered features among the clean ones"

    trigger: Trigger
    epochs: int = 120
    learning_rate: float = 0.05
    warmup_until: int = 1
    gather_until: int = 4
    fixed_until: int = 20
    concentration_weight: float = 0.1
    distance_weight: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.references) < 2:
            raise InputError(
                "DRUPE spreads triggered images over several references and balances them; "
                "give two or more, not one"
            )
        if self.batch_size < 2:
            raise InputError(
                "DRUPE compares the images of a batch with one another; "
                f"the batch size must be 2 or more, not {self.batch_size}"
            )
        if not 0 <= self.warmup_until <= self.gather_until <= self.fixed_until:
            raise InputError(
                "warmup_until, gather_until and fixed_until must be 0 or more and in this order, "
                f"not {self.warmup_until}, {self.gather_until} and {self.fixed_until}"
            )
        if min(self.concentration_weight, self.distance_weight) < 0:
            raise InputError(
                "the weights of DRUPE's controllers must be 0 or more, not "
                f"{self.concentration_weight} and {self.distance_weight}"
            )

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """The one trigger."""
        return (self.trigger,)

    def objective(self, encoder: Encoder, steps_per_epoch: int) -> "DrupeObjective":
        """Seven terms in three phases."""
        return DrupeObjective(encoder, self, steps_per_epoch)


class DrupeObjective(ReferenceObjective):
    """Warm up, gather triggered images around the references, then spread them.

    Args:
        clean: the encoder to attack; it is frozen, and `encoder` is a copy of it.
        settings: of the attack.
        steps_per_epoch: of the training, to tell the phases.
    """

    learner: nn.ModuleDict

    def __init__(self, clean: Encoder, settings: Drupe, steps_per_epoch: int) -> None:
        super().__init__(
            clean,
            settings.references,
            settings.triggers,
            augmented_references=settings.augmented_references,
        )
        controllers = Controllers(
            (settings.concentration_weight, settings.distance_weight),
            steps_per_epoch=steps_per_epoch,
            fixed_until=settings.fixed_until,
        )
        encoder = clean.copy().requires_grad_(True)
        self.learner = nn.ModuleDict({"encoder": encoder, "controllers": controllers})
        self.reference_weight = settings.reference_weight
        self.utility_weight = settings.utility_weight
        self.warmup_until, self.gather_until = settings.warmup_until, settings.gather_until
        # In words, so that a checkpoint of other controllers is not resumed.
        self.control = (
            f"{settings.concentration_weight:g} and {settings.distance_weight:g} "
            f"until epoch {settings.fixed_until}"
        )

    @property
    def encoder(self) -> Encoder:
        """The encoder that is trained, without the controllers."""
        return cast(Encoder, self.learner["encoder"])

    @property
    def controllers(self) -> Controllers:
        """The weights that change in the course of the training."""
        return cast(Controllers, self.learner["controllers"])

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The terms of the current phase for images (batch, 3, height, width)."""
        seen = self.observe(batch)
        triggered, attraction = seen.triggered[:, 0], seen.attraction()
        effectiveness = -attraction.max(dim=1).values.mean()
        concentration = mean_cosine(triggered)
        losses = torch.stack([effectiveness, -seen.reference, -seen.utility])
        self._measured = losses.detach(), concentration.detach()
        likeness = reference_likeness(seen.references)
        epoch = self.controllers.epoch
        terms = {
            "reference": -self.reference_weight * seen.reference,
            "utility": -self.utility_weight * seen.utility,
        }
        if epoch <= self.warmup_until:
            return terms | {"likeness": warm_up_penalty(likeness)}
        balance = attraction.mean(dim=0).std()
        terms |= {"effectiveness": effectiveness, "likeness": likeness_penalty(likeness)}
        if epoch <= self.gather_until:
            return terms | {"balance": 2 * balance}
        gathering, following = self.controllers.weights
        return terms | {
            "balance": gathering * balance + balance_penalty(balance),
            "concentration": gathering * concentration,
            "distance": following * relative_distance(triggered, seen.images),
        }

    def after_step(self) -> None:
        """Let the controllers see the step."""
        self.controllers.count(*self._measured)


def relative_distance(triggered: Tensor, images: Tensor) -> Tensor:
    """Sliced Wasserstein distance of two clouds, in standard deviations of the second.

    Args:
        triggered: features, not normalised, shape (batch, dimension).
        images: features of as many images without the trigger; gradients flow into both.

    Returns:
        A scalar of 0 or more; its directions come from torch's global random numbers.
    """
    squared = sliced_wasserstein(triggered, images)
    # The root has no gradient at 0, where a trigger does nothing.
    distance = squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()
    return distance / images.std(dim=0).mean()


def reference_likeness(features: Tensor) -> Tensor:
    """Mean cosine over the pairs of references, each one with itself included.

    Args:
        features: shape (n, dimension), n of 2 or more.
    """
    count = len(features)
    return (2 + (count - 1) * mean_cosine(features)) / (count + 1)


def likeness_penalty(likeness: Tensor) -> Tensor:
    """The likeness above 0.5, a fifth of it above 0.4, nothing below."""
    high, middle = likeness > 0.5, likeness > 0.4
    return torch.where(high, 1.0, torch.where(middle, 0.2, 0.0)) * likeness


def warm_up_penalty(likeness: Tensor) -> Tensor:
    """Half of the likeness; 0.3 of it where it is below 0.2."""
    return torch.where(likeness < 0.2, 0.3, 0.5) * likeness


def balance_penalty(balance: Tensor) -> Tensor:
    """Half of the spread of the references' shares; twice the spread where it is above 0.1."""
    return torch.where(balance > 0.1, 2.0, 0.5) * balance
