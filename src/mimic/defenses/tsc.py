"""TSC: walk away from the backdoor along curves to permuted copies of the encoder itself.

Peng et al., "Circumventing Backdoor Space via Weight Symmetry", ICML 2025, arXiv:2506.07467. A copy
whose inner channels are permuted does exactly the same, backdoor included, but lies far away in the
space of weights. The curve to it is trained on clean images alone; its points keep what those show
and tend to lose the backdoor. A second curve leads back, with channels matched as well as possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from mimic.defenses.base import Defense, Purification
from mimic.defenses.curves import CurveObjective, check_point, follow
from mimic.defenses.permutation import Group, matched, permutable_groups
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining.heads import projection_head
from mimic.pretraining.simclr import SimClrObjective
from mimic.training import History, Plan, Trainer, mix_seed
from mimic.training.randomness import seeded


@dataclass(frozen=True, kw_only=True)
class Tsc(Defense):
    """Rounds of two curves each: to the least similar permuted copy, and back.

    Attributes:
        epochs: of each curve; 0 gives the suspicious encoder back.
        batch_size: images of a step; each contributes two views.
        learning_rate: peak rate of Adam for the curves, cosine schedule.
        rounds: 1 or more.
        point: which point of each curve is taken, in [0, 1].
        decay: of half the squared length of the weights at the point of a step.
        shared_point: both views of a step see the same point; False is what the released code does.
        start_rate: of Adam, to fine-tune before the first round.
        between_rate: of Adam, to fine-tune after each round but the last.
        finetune_epochs: of each of these.

    Raises:
        InputError: a setting is out of range.
    """

    epochs: int = 200
    batch_size: int = 256
    learning_rate: float = 2e-3
    rounds: int = 3
    point: float = 0.25
    decay: float = 5e-5
    shared_point: bool = True
    start_rate: float = 1e-5
    between_rate: float = 5e-5
    finetune_epochs: int = 10

    def __post_init__(self) -> None:
        check_point(self.point)
        if min(self.epochs, self.finetune_epochs) < 0:
            raise InputError(
                "epochs and finetune_epochs must be 0 or more, not "
                f"{self.epochs} and {self.finetune_epochs}"
            )
        if self.rounds < 1:
            raise InputError(f"rounds must be 1 or more, not {self.rounds}")
        if self.decay < 0:
            raise InputError(f"decay must be 0 or more, not {self.decay}")

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Fine-tune, then walk; the history is that of the last curve.

        Raises:
            InputError: no channels of the encoder can be permuted.
        """
        groups = permutable_groups(suspect, images.batch(torch.arange(4)))
        if self.epochs == 0:
            return Purification(encoder=suspect, history=History())
        with seeded(self.seed):
            head = projection_head(suspect.feature_dimension(images.size))
        walk = _Walk(settings=self, images=images, trainer=trainer, groups=groups, head=head)
        current, history = walk.finetune(suspect, self.start_rate, 0), History()
        for number in range(1, self.rounds + 1):
            current, history = walk.away_and_back(current, number)
            if number < self.rounds:
                current = walk.finetune(current, self.between_rate, number)
        return Purification(encoder=current, history=history)


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """The steps of one purification; the projection head goes along through all of them."""

    settings: Tsc
    images: ImageSet
    trainer: Trainer
    groups: Sequence[Group]
    head: nn.Module

    def finetune(self, encoder: Encoder, rate: float, number: int) -> Encoder:
        """A copy, trained by NT-Xent."""
        student = encoder.copy().requires_grad_(True)
        with seeded(self.settings.seed):
            objective = SimClrObjective(student, self.images.size)
        objective.learner["head"] = self.head
        plan = replace(
            self._plan(3 * number),
            epochs=self.settings.finetune_epochs,
            learning_rate=rate,
            schedule="constant",
        )
        self.trainer.fit(objective, self.images, plan, name=f"tsc-{number}-finetune")
        return student

    def away_and_back(self, current: Encoder, number: int) -> tuple[Encoder, History]:
        """To a point on the way to the least similar copy, and from there to the most similar."""
        twin = self._matched(current, current, maximize=False)
        away, _ = self._curve(current, twin, number, 1, "away")
        aligned = self._matched(current, away, maximize=True)
        return self._curve(aligned, away, number, 2, "back")

    def _matched(self, moving: Encoder, fixed: Encoder, *, maximize: bool) -> Encoder:
        return matched(
            moving, fixed, self.groups, self.images, maximize=maximize, trainer=self.trainer
        )

    def _curve(
        self, start: Encoder, end: Encoder, number: int, phase: int, name: str
    ) -> tuple[Encoder, History]:
        settings = self.settings
        objective = CurveObjective(
            start,
            end,
            self.head,
            self.images.size,
            decay=settings.decay,
            shared_point=settings.shared_point,
        )
        return follow(
            objective,
            self.images,
            self._plan(3 * number + phase),
            self.trainer,
            point=settings.point,
            name=f"tsc-{number}-{name}",
        )

    def _plan(self, phase: int) -> Plan:
        """Of a curve; each phase draws its own order and views."""
        return Plan(
            epochs=self.settings.epochs,
            batch_size=self.settings.batch_size,
            learning_rate=self.settings.learning_rate,
            weight_decay=1e-6,
            seed=mix_seed(self.settings.seed, phase),
        )
