"""CTRL: an invisible trigger in the frequencies of colour on a few images of one class.

Li et al., "An Embarrassingly Simple Backdoor Attack on Self-supervised Learning", ICCV 2023,
arXiv:2210.07346.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from mimic.attacks.poisoning import (
    Poisoned,
    PoisoningAttack,
    check_share,
    drawn,
    planted,
    target_positions,
    with_replaced,
)
from mimic.errors import InputError
from mimic.images.imageset import ImageSet


@dataclass(frozen=True, kw_only=True, eq=False)
class Ctrl(PoisoningAttack):
    """Stamps the trigger on images of the target class, once and before any augmentation.

    The released code takes the first images of the class in the order of the data; here they are
    drawn at random, so that seeds show how much hangs on which ones.

    Attributes:
        rate: share of all images that are stamped, in (0, 1].

    Raises:
        InputError: the rate is out of range.
    """

    summary: ClassVar[str] = "stamps a trigger that crops keep on images of the target class"

    rate: float = 0.01

    def __post_init__(self) -> None:
        check_share(self.rate, "the rate of CTRL")

    def poison(self, images: ImageSet) -> Poisoned:
        """Stamp `int(rate * n)` images of the target class, n being the number of all images.

        Raises:
            InputError: there are no labels, the target class has fewer images than that, nothing
                would be stamped, or the trigger does not fit.
        """
        candidates = target_positions(images, self.target)
        total = len(images)
        count = planted(int(self.rate * total), self.rate, total, of="images")
        if count > len(candidates):
            raise InputError(
                f"a rate of {self.rate} of {total} images is {count} images to poison, but class "
                f"{self.target} of '{images.name}' has only {len(candidates)}; lower the rate"
            )
        positions = drawn(candidates, count, torch.Generator().manual_seed(self.seed))
        pixels = self.trigger(images.batch(positions))
        return Poisoned(images=with_replaced(images, positions, pixels), positions=positions)
