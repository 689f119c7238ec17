"""From scratch: SimCLR on the clean images alone. The control that a purifier has to beat."""

from dataclasses import dataclass

from mimic.defenses.base import Defense, Purification
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.pretraining.simclr import SimClrObjective
from mimic.seeds import seed_of
from mimic.training import Plan, Trainer
from mimic.training.randomness import seeded


@dataclass(frozen=True, kw_only=True)
class FromScratch(Defense):
    """Train a random encoder by SimCLR without looking at the suspicious one.

    Whatever a purifier keeps beyond this, it owes to the suspicious encoder; what it loses to this,
    it should not have tried.

    Attributes:
        batch_size: images of a step; each contributes two views.
        learning_rate: peak rate of Adam, cosine schedule.
    """

    epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The suspect gives its architecture and nothing else."""
        student = suspect.reinitialized(seed_of("student", self.seed))
        with seeded(self.seed):
            objective = SimClrObjective(student, images.size)
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=1e-6,
            seed=self.seed,
        )
        history = trainer.fit(objective, images, plan, name="scratch")
        return Purification(encoder=student, history=history)
