"""FT-SAM: fine-tune towards weights whose surroundings are good as well, not the weights alone.

Zhu et al., "Enhancing Fine-Tuning Based Backdoor Defense with Sharpness-Aware Minimization", ICCV
2023, arXiv:2304.11823. Plain fine-tuning hardly moves the few large weights that carry a backdoor.
Here the loss is judged where it is worst nearby, and the larger a weight is, the further away.
The original needs labels; the label-free loss is that of `mimic.defenses.finetune`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mimic.defenses.base import Defense, Purification
from mimic.defenses.finetune import FineTuneObjective
from mimic.defenses.plans import steady_adam
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.losses.clone import clone_loss
from mimic.losses.contrastive import nt_xent
from mimic.training import Trainer
from mimic.training.randomness import seeded


def adaptive_ascent(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], radius: float
) -> list[Tensor]:
    """The perturbation that raises a linear loss most, measured relative to the weights.

    With w all weights, g their gradients and r the radius: r * w^2 * g / (|| |w| * g ||_2 + 1e-12).

    Args:
        weights: of any shapes.
        gradients: of the same shapes.
        radius: 0 or more.

    Returns:
        Perturbations e of the same shapes, with || e / |w| ||_2 = radius; weights of 0 stay 0.

    Source: Kwon et al., "ASAM", ICML 2021, arXiv:2102.11600, as used by FT-SAM.
    """
    pairs = list(zip(weights, gradients, strict=True))
    squares = [(w.detach() * g).float().square().sum() for w, g in pairs]
    scale = radius / (torch.stack(squares).sum().sqrt() + 1e-12)
    return [scale * w.detach().square() * g for w, g in pairs]


class _Projected(nn.Module):
    """Features and projections of views, from the encoder and the head of a learner."""

    def __init__(self, learner: nn.ModuleDict) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        features = self.learner["encoder"](views)
        return features, self.learner["head"](features)


class FtSamObjective(FineTuneObjective):
    """The fine-tuning loss at perturbed weights; its gradient is applied where the weights are.

    A batch cannot be divided: the perturbation is that of the gradient of all of it.

    Args:
        student: what is trained.
        teacher: frozen.
        size: height and width of the images, in pixels.
        clone_weight: of the anchor to the teacher.
        radius: of the perturbation; 0 gives plain fine-tuning.
    """

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        size: tuple[int, int],
        *,
        clone_weight: float,
        radius: float,
    ) -> None:
        super().__init__(student, teacher, size, clone_weight=clone_weight)
        self.radius = radius

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Two forward passes over the same views; batch normalisation counts the first alone."""
        views = self.views(batch)
        with torch.no_grad():
            wanted = self.teacher(views.roll(len(batch), 0))
        model = _Projected(self.learner)
        weights = {name: w for name, w in model.named_parameters() if w.requires_grad}
        here = torch.stack([*self._terms(model(views), wanted).values()]).sum()
        gradients = torch.autograd.grad(here, [*weights.values()], materialize_grads=True)
        steps = adaptive_ascent([*weights.values()], gradients, self.radius)
        nearby = {name: weights[name] + step for name, step in zip(weights, steps, strict=True)}
        spare = {name: buffer.clone() for name, buffer in model.named_buffers()}
        return self._terms(functional_call(model, nearby | spare, (views,)), wanted)

    def _terms(self, outputs: tuple[Tensor, Tensor], wanted: Tensor) -> dict[str, Tensor]:
        features, projections = outputs
        first, second = projections.chunk(2)
        return {
            "contrastive": nt_xent(first, second, self.temperature),
            "clone": self.clone_weight * clone_loss(features, wanted),
        }


@dataclass(frozen=True, kw_only=True)
class FtSam(Defense):
    """Sharpness-aware fine-tuning of all weights, without labels.

    Attributes:
        batch_size: images of a step; each contributes two views.
        learning_rate: of Adam, constant.
        clone_weight: of the anchor to the suspicious encoder.
        radius: rho, how far relative to their size the weights are perturbed, 0 or more.

    Raises:
        InputError: the radius is negative or not finite.
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-4
    clone_weight: float = 1.0
    radius: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.radius < math.inf:
            raise InputError(f"the radius must be 0 or more and finite, not {self.radius}")

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The student starts as a copy of the suspect."""
        student = suspect.copy().requires_grad_(True)
        with seeded(self.seed):
            objective = FtSamObjective(
                student,
                suspect,
                images.size,
                clone_weight=self.clone_weight,
                radius=self.radius,
            )
        plan = steady_adam(self)
        history = trainer.fit(objective, images, plan, name="ft-sam")
        return Purification(encoder=student, history=history)
