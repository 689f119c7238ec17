"""SimSiam: one view predicts the other through the same network; a stopped gradient is enough.

Chen & He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv:2011.10566.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.losses.clone import clone_loss
from mimic.pretraining.base import Pretraining, TwoViews
from mimic.pretraining.heads import deep_head, projection_head
from mimic.training import Objective, Plan


class SimSiamObjective(TwoViews, divisible=True, blockwise=True):
    """Cosine between predictions of one view and projections of the other, held fixed.

    Args:
        encoder: what is trained.
        size: height and width of the images, in pixels.
        min_scale: smallest share of an image that a view shows.
    """

    def __init__(self, encoder: Encoder, size: tuple[int, int], *, min_scale: float = 0.2) -> None:
        parts = {
            "encoder": encoder,
            "projector": deep_head(encoder.feature_dimension(size)),
            "predictor": projection_head(2048, hidden=512, outputs=2048),
        }
        super().__init__(parts, size, min_scale=min_scale)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass over both views; the paper's loss plus one, so that 0 is its minimum."""
        projections = self.learner["projector"](self.encoder(self.views(batch)))
        predictions = self.learner["predictor"](projections)
        wanted = projections.detach().roll(len(batch), 0)
        return {"prediction": clone_loss(predictions, wanted)}


@dataclass(frozen=True, kw_only=True)
class SimSiam(Pretraining):
    """SimSiam pre-training from random weights, by SGD with a cosine schedule."""

    name: ClassVar[str] = "simsiam"
    summary: ClassVar[str] = "one view predicts the other's projection; the gradient is stopped"

    learning_rate: float = 0.05
    weight_decay: float = 1e-4
    min_scale: float = 0.2

    def objective(self, encoder: Encoder, images: ImageSet) -> Objective:
        """Fresh projector and predictor."""
        return SimSiamObjective(encoder, images.size, min_scale=self.min_scale)

    def plan(self) -> Plan:
        """SGD; the predictor follows the schedule of everything else."""
        return Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            weight_decay=self.weight_decay,
            seed=self.seed,
        )
