"""The weight of a mask's size: it rises while a trigger does its work and falls while it does not.

Feng et al., "Detecting Backdoors in Pre-trained Encoders" (DECREE), CVPR 2023, arXiv:2303.15180.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class MaskPenalty:
    """How much a mask's size counts, adapted for each trigger after every step.

    The size is the mean of the mask, in [0, 1], so that nothing here depends on the size of images.
    DECREE weighs the sum over pixels and channels instead: its values times 3 * height * width are
    ours. The defaults are its own for images of 32x32 (1e-3, 1e-5, 1e5), rounded.

    Attributes:
        start: first weight.
        raised_by: factor after more than `patience` steps with success in a row.
        lowered_by: divisor after more than `patience` steps without.
        patience: in steps; counted anew after each change.
        least: a weight below it is not lowered any more.
        most: a weight above it is not raised any more.

    Raises:
        InputError: a value is out of range.
    """

    start: float = 3.0
    raised_by: float = 5.0
    lowered_by: float = 5.0
    patience: int = 5
    least: float = 0.03
    most: float = 3e8

    def __post_init__(self) -> None:
        if not 0 < self.start < math.inf or min(self.raised_by, self.lowered_by) < 1:
            raise InputError(
                "the weight of a mask must start above 0 and its factors be 1 or more, not "
                f"{self.start}, {self.raised_by} and {self.lowered_by}"
            )
        if self.patience < 0:
            raise InputError(f"the patience must be 0 steps or more, not {self.patience}")

    def adapt(self, weight: Tensor, streak: Tensor, success: Tensor) -> tuple[Tensor, Tensor]:
        """The next weights and streaks.

        Args:
            weight: shape (triggers,).
            streak: steps with success in a row, or minus the steps without; shape (triggers,).
            success: whether this step had it, shape (triggers,).
        """
        streak = torch.where(success, streak.clamp_min(0) + 1, streak.clamp_max(0) - 1)
        raised = torch.where(weight < self.most, weight * self.raised_by, weight)
        lowered = torch.where(weight >= self.least, weight / self.lowered_by, weight)
        due = streak.abs() > self.patience
        changed = torch.where(streak > 0, raised, lowered)
        return torch.where(due, changed, weight), streak.masked_fill(due, 0)
