"""MCR: leave the suspicious encoder along a curve towards its fine-tuned copy.

Zhao et al., "Bridging Mode Connectivity in Loss Landscapes and Adversarial Robustness", ICLR 2020,
arXiv:2005.00060. Both ends may carry the backdoor; the points between them are trained on clean
images alone and tend to lose it. Label-free as in the self-supervised half of TSC's released code
(arXiv:2506.07467): NT-Xent in the place of cross-entropy.
"""

from dataclasses import dataclass

from mimic.defenses.base import Defense, Purification
from mimic.defenses.curves import CurveObjective, check_point, follow
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining.simclr import SimClrObjective
from mimic.training import History, Plan, Trainer, mix_seed
from mimic.training.randomness import seeded


@dataclass(frozen=True, kw_only=True)
class Mcr(Defense):
    """A point on the curve between the suspicious encoder and its fine-tuned copy.

    Attributes:
        epochs: of the curve; 0 gives the suspicious encoder back.
        batch_size: images of a step; each contributes two views.
        learning_rate: peak rate of Adam for the curve, cosine schedule.
        finetune_epochs: of the copy at the other end.
        finetune_rate: of Adam for that copy, constant.
        point: which point of the curve is taken, in [0, 1]; 0 is the suspicious encoder.

    Raises:
        InputError: the point is not on the curve, or a number of epochs is negative.
    """

    epochs: int = 200
    batch_size: int = 256
    learning_rate: float = 2e-3
    finetune_epochs: int = 10
    finetune_rate: float = 1e-4
    point: float = 0.4

    def __post_init__(self) -> None:
        check_point(self.point)
        if min(self.epochs, self.finetune_epochs) < 0:
            raise InputError(
                "epochs and finetune_epochs must be 0 or more, not "
                f"{self.epochs} and {self.finetune_epochs}"
            )

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Fine-tune a copy, train the curve between both, take the point."""
        if self.epochs == 0:
            return Purification(encoder=suspect, history=History())
        copy = suspect.copy().requires_grad_(True)
        with seeded(self.seed):
            tuning = SimClrObjective(copy, images.size)
        constant = Plan(
            epochs=self.finetune_epochs,
            batch_size=self.batch_size,
            learning_rate=self.finetune_rate,
            weight_decay=1e-6,
            schedule="constant",
            seed=self.seed,
        )
        trainer.fit(tuning, images, constant, name="mcr-finetune")
        curve = CurveObjective(suspect, copy, tuning.learner["head"], images.size)
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=1e-6,
            seed=mix_seed(self.seed, 1),
        )
        found, history = follow(curve, images, plan, trainer, point=self.point, name="mcr-curve")
        return Purification(encoder=found, history=history)
