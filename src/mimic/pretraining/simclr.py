"""SimCLR: two views of an image attract, all other images of the batch repel.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020,
arXiv:2002.05709; constants as in the CIFAR-10 encoder of BadEncoder's released code.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.losses.contrastive import nt_xent
from mimic.pretraining.base import Pretraining, TwoViews
from mimic.pretraining.heads import projection_head
from mimic.training import Objective, Plan


class SimClrObjective(TwoViews, divisible=True, blockwise=True):
    """NT-Xent between projections of two views.

    Args:
        encoder: what is trained.
        size: height and width of the images, in pixels.
        temperature: of NT-Xent.
        min_scale: smallest share of an image that a view shows.
    """

    def __init__(
        self,
        encoder: Encoder,
        size: tuple[int, int],
        *,
        temperature: float = 0.5,
        min_scale: float = 0.08,
    ) -> None:
        head = projection_head(encoder.feature_dimension(size))
        super().__init__({"encoder": encoder, "head": head}, size, min_scale=min_scale)
        self.temperature = temperature

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass over both views, so that batch normalisation is updated once."""
        return self.contrast(self.encoder(self.views(batch)))

    def contrast(self, features: Tensor) -> dict[str, Tensor]:
        """The contrastive term of features (2 * batch, dimension), first views first."""
        first, second = self.learner["head"](features).chunk(2)
        return {"contrastive": nt_xent(first, second, self.temperature)}


@dataclass(frozen=True, kw_only=True)
class SimClr(Pretraining):
    """SimCLR pre-training from random weights, by Adam with a cosine schedule.

    Attributes:
        warmup_epochs: linear rise of the learning rate.
        temperature: of the contrastive loss.
    """

    name: ClassVar[str] = "simclr"
    summary: ClassVar[str] = "two views of an image attract, all other images of the batch repel"

    warmup_epochs: float = 0.0
    temperature: float = 0.5

    def objective(self, encoder: Encoder, images: ImageSet) -> Objective:
        """NT-Xent with a fresh projection head."""
        return SimClrObjective(
            encoder, images.size, temperature=self.temperature, min_scale=self.min_scale
        )

    def plan(self) -> Plan:
        """Adam."""
        return Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_epochs=self.warmup_epochs,
            seed=self.seed,
        )
