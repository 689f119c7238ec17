"""PoisoningAttack: plant images in what a victim pre-trains on; its training does the rest."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from mimic.attacks.base import Attack, Attacked, ThreatModel
from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining import Pretraining, SimClr
from mimic.training import Trainer


@dataclass(frozen=True, kw_only=True)
class Poisoned:
    """What a victim downloads.

    Attributes:
        images: clean and poisoned ones, without labels.
        positions: which of them carry poison, int64, ascending.
    """

    images: ImageSet
    positions: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class PoisoningAttack(Attack):
    """Base of the attacks that only plant images: a new one says how in `poison`.

    Attributes:
        target: label of the class that the trigger is to lead to, as in the images' labels.
        trigger: what opens the backdoor.
        pretraining: how the victim trains; its seed also decides the first weights.
        seed: decides which images are poisoned, and how.
    """

    threat_model: ClassVar[ThreatModel] = "poisoning"

    target: int
    trigger: Trigger
    pretraining: Pretraining = field(default_factory=SimClr)
    seed: int = 0

    @abstractmethod
    def poison(self, images: ImageSet) -> Poisoned:
        """The set that the victim trains on.

        Args:
            images: clean ones with labels; left as they are.

        Raises:
            InputError: there are no labels, no images of the target class, or too few for the rate.
        """

    def run(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Attacked:
        """Poison, then pre-train the architecture of `encoder` from fresh weights."""
        poisoned = self.poison(images)
        trained = self.pretraining(encoder, poisoned.images, trainer=trainer)
        return Attacked(encoder=trained, triggers=(self.trigger,))


def target_positions(images: ImageSet, target: int) -> Tensor:
    """Where the images of the target class are, ascending.

    Raises:
        InputError: the images have no labels, or none of them is of that class.
    """
    if images.labels is None:
        raise InputError(
            f"the images '{images.name}' carry no labels; a poisoning attack has to know which "
            "ones show the target class"
        )
    positions = (images.labels == target).nonzero().squeeze(1)
    if len(positions) == 0:
        known = images.labels.unique().tolist()
        raise InputError(f"no image of '{images.name}' is of class {target}; there are {known}")
    return positions


def with_replaced(images: ImageSet, positions: Tensor, pixels: Tensor) -> ImageSet:
    """The same images without labels, but with `pixels` in the place of those at `positions`.

    Args:
        images: in memory or streamed.
        positions: int64, shape (n,), no two alike.
        pixels: uint8, shape (n, 3, height, width).
    """
    row_of = torch.full((len(images),), -1, dtype=torch.int64)
    row_of[positions] = torch.arange(len(positions))

    def read(chosen: Sequence[int]) -> Tensor:
        wanted = torch.as_tensor(chosen, dtype=torch.int64)
        batch, rows = images.batch(wanted).clone(), row_of[wanted]
        batch[rows >= 0] = pixels[rows[rows >= 0]]
        return batch

    return replace(images.unlabelled(), read=read, indices=torch.arange(len(images)))


def with_appended(images: ImageSet, pixels: Tensor) -> ImageSet:
    """The same images without labels, and `pixels` behind them.

    Args:
        images: in memory or streamed.
        pixels: uint8, shape (n, 3, height, width) of the images' size.
    """
    count = len(images)

    def read(chosen: Sequence[int]) -> Tensor:
        wanted = torch.as_tensor(chosen, dtype=torch.int64)
        batch = torch.empty(len(wanted), *pixels.shape[1:], dtype=torch.uint8)
        old = wanted < count
        if old.any():
            batch[old] = images.batch(wanted[old])
        batch[~old] = pixels[wanted[~old] - count]
        return batch

    total = torch.arange(count + len(pixels))
    return replace(images.unlabelled(), read=read, indices=total)
