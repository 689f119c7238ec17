"""Pretraining: settings plus the objective and the plan that train an encoder without labels."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast, final

import torch
from torch import Tensor, nn

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.training import Objective, Plan, Trainer
from mimic.training.randomness import seeded


class TwoViews(Objective):
    """Base of the objectives that compare two random views of each image.

    Args:
        learner: what is trained and saved, by name; the encoder is "encoder".
        size: height and width of the images, in pixels.
        min_scale: smallest share of an image that a view shows.
    """

    learner: nn.ModuleDict

    def __init__(
        self, learner: Mapping[str, nn.Module], size: tuple[int, int], *, min_scale: float
    ) -> None:
        super().__init__()
        self.learner = nn.ModuleDict(learner)
        self.augment = Augmentation(size, min_scale=min_scale)

    @property
    def encoder(self) -> Encoder:
        """The encoder that is trained, without its projection head."""
        return cast(Encoder, self.learner["encoder"])

    def views(self, batch: Tensor) -> Tensor:
        """Two views of each image, floats in [0, 1], shape (2 * batch, ...), first views first."""
        images = to_unit_range(batch)
        return self.augment(torch.cat([images, images]))


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
    def objective(self, encoder: Encoder, images: ImageSet) -> Objective:
        """What is minimised; it trains `encoder` itself, not a copy.

        Args:
            encoder: with fresh weights.
            images: what it will be trained on; their size and number matter, not what they show.
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
        if len(images) == 0:
            raise InputError(f"there is nothing to train on: '{images.name}' holds no images")
        plan = self.plan()
        fresh = encoder.reinitialized(self.seed)
        with seeded(self.seed):
            objective = self.objective(fresh, images)
        trainer.fit(objective, images, plan, name=self.name)
        return fresh.eval().cpu()
