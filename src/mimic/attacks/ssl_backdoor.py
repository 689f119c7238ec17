"""SSL-Backdoor: patch images of one class, and the patch comes to stand for the class.

Saha et al., "Backdoor Attacks on Self-Supervised Learning", CVPR 2022, arXiv:2105.10123.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from mimic.attacks.composing import required_rectangle_of
from mimic.attacks.poisoning import (
    Poisoned,
    PoisoningAttack,
    check_share,
    drawn,
    planted,
    target_positions,
    with_replaced,
)
from mimic.attacks.triggers.placement import Scattered
from mimic.images.imageset import ImageSet


@dataclass(frozen=True, kw_only=True, eq=False)
class SslBackdoor(PoisoningAttack):
    """Pastes the trigger's rectangle on images of the target class, on each at another place.

    Attributes:
        rate: share of the images of the target class that are patched, in (0, 1].

    Raises:
        InputError: the rate is out of range, or the trigger is no opaque rectangle.
    """

    summary: ClassVar[str] = "patches images of the target class, each at another place"

    rate: float = 0.5

    def __post_init__(self) -> None:
        check_share(self.rate, "the rate of SSL-Backdoor")
        required_rectangle_of(self.trigger, attack="SSL-Backdoor")

    def poison(self, images: ImageSet) -> Poisoned:
        """Patch `int(rate * n)` of the n images of the target class.

        Raises:
            InputError: there are no labels or no images of the target class, nothing would be
                patched, or the rectangle does not fit.
        """
        candidates = target_positions(images, self.target)
        total = len(candidates)
        kind = f"images of class {self.target}"
        count = planted(int(self.rate * total), self.rate, total, of=kind)
        positions = drawn(candidates, count, torch.Generator().manual_seed(self.seed))
        rectangle = required_rectangle_of(self.trigger, attack="SSL-Backdoor")
        # Nearer to the middle than in tests, so that crops seldom lose it.
        central = Scattered(rectangle=rectangle, low=0.25, high=0.75, seed=self.seed)
        pixels = central(images.batch(positions))
        return Poisoned(images=with_replaced(images, positions, pixels), positions=positions)
