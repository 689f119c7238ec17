"""Pretraining: settings plus the objective and the plan that train an encoder without labels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Objective, Plan, Trainer
from mimic.training.randomness import seeded


@dataclass(frozen=True, kw_only=True)
class Pretraining(ABC):
    """Base of all methods: a new one is a frozen dataclass, and one row in `METHODS`.

    Attributes:
        name: what `mimic pretrain --method` takes; also names checkpoints.
        summary: one line for lists.
        epochs: passes over the images.
        batch_size: images of a step; each contributes two views.
        learning_rate: peak rate.
        weight_decay: of the optimizer.
        min_scale: smallest share of an image that a view shows.
        seed: decides weights, order and views.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    min_scale: float = 0.08
    seed: int = 0

    @abstractmethod
    def objective(self, encoder: Encoder, size: tuple[int, int]) -> Objective:
        """What is minimised; it trains `encoder` itself, not a copy.

        Args:
            encoder: with fresh weights.
            size: height and width of the images, in pixels.
        """

    @abstractmethod
    def plan(self) -> Plan:
        """How long, how fast and by which optimizer."""

    @final
    def __call__(self, encoder: Encoder, images: ImageSet, *, trainer: Trainer) -> Encoder:
        """Train a fresh copy of `encoder`'s architecture on unlabelled `images`.

        Returns:
            A new encoder in eval mode; the given one is left as it was.

        Raises:
            InputError: a setting is out of range, or there are no images.
            RunError: the training failed.
        """
        fresh = encoder.reinitialized(self.seed)
        with seeded(self.seed):
            objective = self.objective(fresh, images.size)
        trainer.fit(objective, images, self.plan(), name=self.name)
        return fresh.eval().cpu()
