"""RNP: make a copy forget clean images, ask which channels would have to go to bring them back.

Li et al., "Reconstructive Neuron Pruning for Backdoor Defense", ICML 2023, arXiv:2305.14876.
Labels are replaced by the features that the suspect itself gives.
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
from mimic.defenses.holdout import check_tolerance, hold_out, similarity
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.training import Objective, Plan, Trainer
from mimic.training.plan import mix_seed

_SLOWER_AFTER = 10


class UnlearnObjective(Objective):
    """The mean cosine to the suspect's features, which is made small.

    Between two views: for equal ones the copy would start at a maximum, without gradient.

    Args:
        student: what forgets; starts as a copy of the suspect.
        teacher: the suspect, frozen.
        size: height and width of the images, in pixels.
    """

    learner: Encoder

    def __init__(self, student: Encoder, teacher: Encoder, size: tuple[int, int]) -> None:
        super().__init__()
        self.learner = student
        self.teacher = teacher.requires_grad_(False)
        self.augment = Augmentation(size)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of each, over one view of each image."""
        images = to_unit_range(batch)
        seen, other = self.augment(torch.cat([images, images])).chunk(2)
        with torch.no_grad():
            wanted = self.teacher(other)
        return {"cosine": 1 - clone_loss(self.learner(seen), wanted)}


class RecoverObjective(Objective):
    """Clone loss between the unlearned copy behind masks and the suspect, on the same view.

    Args:
        unlearned: frozen.
        teacher: the suspect, frozen.
        size: height and width of the images, in pixels.
    """

    learner: ChannelMasks

    def __init__(self, unlearned: Encoder, teacher: Encoder, size: tuple[int, int]) -> None:
        super().__init__()
        self.learner = ChannelMasks(unlearned)
        self.unlearned = unlearned.requires_grad_(False)
        self.teacher = teacher.requires_grad_(False)
        self.augment = Augmentation(size)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of each."""
        views = self.augment(to_unit_range(batch))
        with torch.no_grad():
            wanted = self.teacher(views)
        features = masked_forward(self.unlearned, views, self.learner.by_name())
        return {"clone": clone_loss(features, wanted)}

    def after_step(self) -> None:
        """Masks stay in [0, 1]."""
        self.learner.clip()


@dataclass(frozen=True, kw_only=True)
class Rnp(Defense):
    """Reconstructive neuron pruning: unlearn, recover by masks, prune the suspect.

    Attributes:
        epochs: of recovering, over the four fifths of the images that are learned from.
        unlearn_epochs: at most, of unlearning; the rate is a tenth after the first ten.
        batch_size: images of a step, in both phases.
        unlearn_learning_rate: of SGD with momentum 0.9 and weight decay 5e-4.
        stop: unlearning ends when the mean cosine to the suspect's features, on the fifth of the
            images that is held out, is at most this; in [-1, 1].
        learning_rate: of SGD with momentum 0.9 on the masks, constant; the source's 0.2 times the
            weight 0.2 that it gives its loss.
        tolerance: how far pruning may bring that cosine below 1, in [0, 2].

    Raises:
        InputError: a setting is out of range.
    """

    epochs: int = 20
    unlearn_epochs: int = 20
    batch_size: int = 128
    unlearn_learning_rate: float = 0.01
    stop: float = 0.2
    learning_rate: float = 0.04
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        if self.unlearn_epochs < 0:
            raise InputError(f"unlearn_epochs must be 0 or more, not {self.unlearn_epochs}")
        if not -1 <= self.stop <= 1:
            raise InputError(f"stop is a mean cosine and must be -1 to 1, not {self.stop}")
        check_tolerance(self.tolerance)

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Unlearn a copy, recover it, prune the suspect; the history is that of recovering."""
        learned, judged = hold_out(images, seed=self.seed)
        unlearned = self.unlearn(suspect, learned, judged, trainer)
        objective = RecoverObjective(unlearned, suspect, images.size)
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            schedule="constant",
            seed=self.seed,
        )
        history = trainer.fit(objective, learned, plan, name="rnp-recover")
        purified = prune_masked(
            suspect, objective.learner, judged, tolerance=self.tolerance, trainer=trainer
        )
        return Purification(encoder=purified, history=history)

    def unlearn(
        self, suspect: Encoder, learned: ImageSet, judged: ImageSet, trainer: Trainer
    ) -> Encoder:
        """A copy of the suspect that has forgotten what it makes of clean images.

        Each epoch is a training of its own, since the images held out are asked in between; the
        momentum starts anew each time.

        Raises:
            InputError: the suspect has no batch normalisation, so nothing could be pruned.
        """
        batch_norms(suspect)
        student = suspect.copy().requires_grad_(True)
        objective = UnlearnObjective(student, suspect, learned.size)
        for epoch in range(self.unlearn_epochs):
            if similarity(suspect, student, judged, trainer) <= self.stop:
                break
            slower = 0.1 if epoch >= _SLOWER_AFTER else 1.0
            plan = Plan(
                epochs=1,
                batch_size=self.batch_size,
                learning_rate=slower * self.unlearn_learning_rate,
                optimizer="sgd",
                weight_decay=5e-4,
                schedule="constant",
                seed=mix_seed(self.seed, epoch),
            )
            trainer.fit(objective, learned, plan, name=f"rnp-unlearn-{epoch + 1}")
        student.zero_grad()
        return student
