"""DECREE as published: an encoder is backdoored where one small patch makes all images look alike.

The smallest such patch is looked for by gradients, from one random start. Its size as a share of
the image is the verdict, whatever the encoder is: nothing is calibrated.

Feng et al., "Detecting Backdoors in Pre-trained Encoders", CVPR 2023, arXiv:2303.15180.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mimic.detection.aims import Gather
from mimic.detection.inversion import InversionObjective, InvertedTriggers, TriggerSearch
from mimic.detection.penalty import MaskPenalty
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Objective, Plan, Trainer
from mimic.training.randomness import seeded

CUT = 0.1
"""An encoder is called suspicious where PL1 is below it."""
LARGEST_SMALL = 96
"""Longest side, in pixels, of images that the settings for small ones are taken for."""
_BETAS = (0.5, 0.9)
_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was published differently for small and for large images; the defaults are for small.

    Attributes:
        epochs: passes over the images, at most.
        batch_size: images of a step, 2 or more; fewer where there are fewer.
        learning_rate: of Adam, in the first epochs.
        milestones: epochs, counted from 0, and the learning rates from these epochs on.
        least_weight: of the mask's sum over pixels and channels; one below it is lowered no more.
        patience: the search ends after an epoch of success once more steps than this have in a row
            found nothing smaller.
        success: a step has success where the mean cosine of all pairs of its stamped images is
            above it.

    Raises:
        InputError: epochs, batch size or patience are out of range; `plan` checks the rest.
    """

    epochs: int = 1000
    batch_size: int = 128
    learning_rate: float = 0.5
    milestones: tuple[tuple[int, float], ...] = ((30, 0.1), (50, 0.05))
    least_weight: float = 1e-5
    patience: int = 10
    success: float = 0.99

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"DECREE takes 1 epoch or more, not {self.epochs}")
        if self.batch_size < 2:
            raise InputError(
                f"the batch size must be 2 or more, not {self.batch_size}: how alike images are "
                "is measured on pairs"
            )
        if self.patience < 0:
            raise InputError(f"the patience must be 0 steps or more, not {self.patience}")

    def plan(self, seed: int) -> Plan:
        """The training of mask and pattern."""
        return Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            betas=_BETAS,
            schedule="steps",
            milestones=self.milestones,
            seed=seed,
        )

    def penalty(self, size: tuple[int, int]) -> MaskPenalty:
        """The rule of the mask's weight; published weights count sums, `MaskPenalty` a mean."""
        area = _CHANNELS * math.prod(size)
        return MaskPenalty(start=1e-3 * area, least=self.least_weight * area, most=1e5 * area)


SMALL = Settings()
"""Published for CIFAR-10 and STL-10."""
LARGE = Settings(milestones=((200, 0.1), (500, 0.05)), least_weight=1e-7, patience=35)
"""Published for ImageNet and CLIP, of 224x224 pixels; the runs on CLIP take batches of 32."""


@dataclass(frozen=True, kw_only=True)
class Decree:
    """What DECREE says.

    Attributes:
        verdict: "suspicious" where PL1 is below 0.1, "inconclusive" where no step had success.
        pl1: share of the image that the smallest mask with success covers, in [0, 1]; None
            without any.
        l1: sum of that mask over pixels and three equal channels; None without any.
        similarity: mean cosine of all pairs of stamped images, in the batch of the best step.
        triggers: the one trigger of that step; without success the most similar one.
        epochs: passes over the images.
        images_used: how many images there were.
        seconds: the time it took.
    """

    verdict: Literal["suspicious", "clean", "inconclusive"]
    pl1: float | None
    l1: float | None
    similarity: float
    triggers: InvertedTriggers
    epochs: int
    images_used: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without the trigger."""
        return {
            "verdict": self.verdict,
            "pl1": self.pl1,
            "threshold": CUT,
            "l1": self.l1,
            "similarity": self.similarity,
            "epochs": self.epochs,
            "images_used": self.images_used,
            "seconds": self.seconds,
        }


class Shrinking(nn.Module):
    """A search, and for how many steps in a row it has found nothing smaller."""

    stale: Tensor

    def __init__(self, search: TriggerSearch) -> None:
        super().__init__()
        self.search = search
        self.register_buffer("stale", torch.zeros((), dtype=torch.int64))


class DecreeObjective(Objective):
    """Minus the similarity of stamped images, plus the weighted size of the mask; ends by itself.

    Args:
        encoder: frozen, in eval mode.
        size: height and width of the images, in pixels.
        settings: see `Settings`.
    """

    learner: Shrinking
    full_precision = True

    def __init__(self, encoder: Encoder, size: tuple[int, int], settings: Settings) -> None:
        super().__init__()
        self.inversion = InversionObjective(
            encoder, Gather(), size, penalty=settings.penalty(size), threshold=settings.success
        )
        self.learner = Shrinking(self.inversion.learner)
        # In words, so that a checkpoint of other settings is not resumed.
        self.rule, self.patience = self.inversion.rule, settings.patience
        self.success = settings.success

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of images (n, 3, height, width)."""
        before = self.learner.search.sizes()
        terms = self.inversion(batch[None])
        smaller = (self.learner.search.sizes() < before).squeeze()
        self.learner.stale = (self.learner.stale + 1).masked_fill(smaller, 0)
        return terms

    def finished(self, epoch: Mapping[str, float]) -> bool:
        """Whether the epoch had success on average and the mask has long not become smaller."""
        return -epoch["similarity"] > self.success and int(self.learner.stale) > self.patience


def decree(
    encoder: Encoder,
    images: ImageSet,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    name: str = "decree",
    trainer: Trainer | None = None,
) -> Decree:
    """Look for the smallest patch that makes all images look alike, as DECREE was published.

    Args:
        encoder: any; bit-identical afterwards, with its modes, flags and device.
        images: clean, unlabelled images, 2 or more; published are 1000 for CIFAR-10.
        seed: of the first mask and pattern and of the order of images.
        settings: None takes `SMALL` for images of up to 96 pixels a side and `LARGE` above.
        name: of the training, for checkpoints and the progress bar.
        trainer: the environment; None picks the best device of this machine. The search always
            computes in float32.

    Raises:
        InputError: there are fewer than 2 images, or a setting is out of range.
    """
    if len(images) < 2:
        raise InputError(f"DECREE compares images and needs 2 or more, not {len(images)}")
    settings = settings or published_for(images.size)
    with seeded(seed):
        objective = DecreeObjective(encoder.copy(), images.size, settings)
    history = (trainer or Trainer()).fit(objective, images, settings.plan(seed), name=name)
    found = objective.learner.search.found()
    pl1 = float(found.shares[0]) if bool(found.success[0]) else None
    return Decree(
        verdict=_verdict(pl1),
        pl1=pl1,
        l1=None if pl1 is None else _CHANNELS * float(found.norms[0]),
        similarity=float(found.similarity[0]),
        triggers=found,
        epochs=len(history.epochs),
        images_used=len(images),
        seconds=history.seconds,
    )


def published_for(size: tuple[int, int]) -> Settings:
    """The published settings for images of this height and width, in pixels."""
    return SMALL if max(size) <= LARGEST_SMALL else LARGE


def _verdict(pl1: float | None) -> Literal["suspicious", "clean", "inconclusive"]:
    if pl1 is None:
        return "inconclusive"
    return "suspicious" if pl1 < CUT else "clean"
