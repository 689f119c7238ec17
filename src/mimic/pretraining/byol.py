"""BYOL: one view predicts what a slower copy of the network makes of the other; nothing repels.

Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, arXiv:2006.07733; constants as in the
encoders of SSL-Backdoor (Saha et al., CVPR 2022), except that the rate falls along a cosine.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.losses.clone import clone_loss
from mimic.pretraining.base import Pretraining, TwoViews
from mimic.pretraining.heads import projection_head
from mimic.pretraining.momentum import MomentumCopy, check_momentum, rising_momentum
from mimic.training import Objective, Plan


class ByolObjective(TwoViews, divisible=True, blockwise=True):
    """Cosine between predictions of one view and the target network's projections of the other.

    Args:
        encoder: what is trained.
        size: height and width of the images, in pixels.
        steps: length of the training, over which the momentum rises to 1.
        momentum: of the target network, at the first step.
        min_scale: smallest share of an image that a view shows.
    """

    def __init__(
        self,
        encoder: Encoder,
        size: tuple[int, int],
        *,
        steps: int,
        momentum: float = 0.99,
        min_scale: float = 0.2,
    ) -> None:
        projector = projection_head(encoder.feature_dimension(size), hidden=1024)
        parts = {
            "encoder": encoder,
            "projector": projector,
            "predictor": projection_head(128, hidden=1024),
            "target": MomentumCopy(encoder, projector),
        }
        super().__init__(parts, size, min_scale=min_scale)
        # In the learner, so that it is saved and a resumed training goes on where it was.
        self.learner.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.steps, self.momentum = steps, momentum

    @property
    def target(self) -> MomentumCopy:
        """The network that follows."""
        return cast(MomentumCopy, self.learner["target"])

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of either network over both views; 2 - 2 cos, summed both ways."""
        views = self.views(batch)
        projections = self.learner["projector"](self.encoder(views))
        predictions = self.learner["predictor"](projections)
        wanted = self.target(views).roll(len(batch), 0)
        return {"prediction": 4 * clone_loss(predictions, wanted)}

    def after_step(self) -> None:
        """Let the target network follow, more slowly with each step."""
        step = self.learner.get_buffer("step")
        momentum = rising_momentum(self.momentum, int(step), self.steps)
        self.target.follow(self.encoder, self.learner["projector"], momentum=momentum)
        step += 1


@dataclass(frozen=True, kw_only=True)
class Byol(Pretraining):
    """BYOL pre-training from random weights, by Adam with a cosine schedule.

    Attributes:
        warmup_epochs: linear rise of the learning rate.
        momentum: of the target network at the start; it rises to 1.
    """

    name: ClassVar[str] = "byol"
    summary: ClassVar[str] = "one view predicts a slower copy's projection of the other view"

    learning_rate: float = 2e-3
    min_scale: float = 0.2
    warmup_epochs: float = 2.0
    momentum: float = 0.99

    def __post_init__(self) -> None:
        check_momentum(self.momentum)

    def objective(self, encoder: Encoder, images: ImageSet) -> Objective:
        """Fresh projector and predictor, and a target network that starts as a copy."""
        plan = self.plan()
        return ByolObjective(
            encoder,
            images.size,
            steps=plan.epochs * plan.batches_per_epoch(len(images)),
            momentum=self.momentum,
            min_scale=self.min_scale,
        )

    def plan(self) -> Plan:
        """Adam with a warm-up, for which short trainings take a quarter of their epochs at most."""
        return Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_epochs=min(self.warmup_epochs, self.epochs / 4),
            seed=self.seed,
        )
