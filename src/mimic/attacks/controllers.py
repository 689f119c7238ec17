"""Controllers: the two weights of DRUPE that rise while the attack goes well, and fall else.

Tao et al., "Distribution Preserving Backdoor Attack in Self-supervised Learning", IEEE S&P 2024;
bars and factors as in the released code for CIFAR-10.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

UP, DOWN = 1.25, 1.25**1.25
"""A controller multiplies a weight by the first, or divides it by the second."""

SUCCESS = (-0.96, -0.9, -0.9)
"""Below these means of an epoch (effectiveness, reference, utility) the attack counts as sound."""

SPREAD, WIDELY_SPREAD = 0.6, 0.5
"""Concentrations of triggered features below which they count as spread out, and as enough so."""


class Controllers(nn.Module):
    """The two weights that follow how the attack goes, and the sums that they follow.

    All of it is buffers of the learner, so that a resumed training goes on bit by bit.

    Args:
        weights: of concentration and distance at the start.
        steps_per_epoch: of the training.
        fixed_until: last epoch that leaves the weights as they are.
    """

    step: Tensor
    sums: Tensor
    weights: Tensor

    def __init__(
        self, weights: tuple[float, float], *, steps_per_epoch: int, fixed_until: int
    ) -> None:
        super().__init__()
        self.steps_per_epoch, self.fixed_until = steps_per_epoch, fixed_until
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sums", torch.zeros(3))
        self.register_buffer("weights", torch.tensor(weights))

    @property
    def epoch(self) -> int:
        """Epoch of the step to come, counted from 1."""
        return int(self.step) // self.steps_per_epoch + 1

    def count(self, losses: Tensor, concentration: Tensor) -> None:
        """Book a step that is done; the last one of an epoch may change the weights.

        Args:
            losses: effectiveness, reference and utility before weighting, shape (3,).
            concentration: of the triggered features, a scalar.
        """
        epoch = self.epoch
        self.step += 1
        self.sums += losses
        if self.epoch == epoch:
            return
        if epoch > self.fixed_until:
            means = (self.sums / self.steps_per_epoch).tolist()
            weights = adjusted(self.weights.tolist(), means, float(concentration))
            self.weights.copy_(torch.tensor(weights))
        self.sums.zero_()


def adjusted(
    weights: Sequence[float], losses: Sequence[float], concentration: float
) -> tuple[float, float]:
    """The weights of concentration and distance after an epoch.

    Both fall while the attack is not sound. While it is, the first rises until the triggered
    features are widely spread; the second rises only where they are spread.

    Args:
        weights: before.
        losses: means of effectiveness, reference and utility over the epoch.
        concentration: of the triggered features of the last batch.
    """
    gathering, following = weights
    sound = all(loss < bar for loss, bar in zip(losses, SUCCESS, strict=True))
    if not sound:
        gathering /= DOWN
    elif concentration >= WIDELY_SPREAD:
        gathering *= UP
    following = following * UP if sound and concentration < SPREAD else following / DOWN
    return gathering, following
