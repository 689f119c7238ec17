"""I-BAU: unlearn one perturbation for all images, and foresee how it would answer.

Zeng et al., "Adversarial Unlearning of Backdoors via Implicit Hypergradient", ICLR 2022,
arXiv:2110.03735. In each round a universal perturbation is found that changes the encoder's
features most, then the encoder learns to ignore it. The encoder's gradient has a second part: the
best perturbation moves with the weights, which an implicit fixed-point equation says without
retracing how it was found. The original needs labels; here features take their place.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mimic.defenses.base import Defense, Purification
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.training import History, Objective, Plan, Trainer, mix_seed
from mimic.training.randomness import seeded


def implicit_term(
    inner: Callable[[Tensor], Tensor],
    perturbation: Tensor,
    outer_gradient: Tensor,
    *,
    rate: float,
    steps: int,
) -> Tensor:
    """A scalar of value 0 whose gradient is how the outer loss changes through the perturbation.

    With Phi(d) = d - rate * grad inner(d) and g the outer gradient: v starts at 0 and becomes
    (dPhi/dd)^T v + g in each step; the gradient with respect to whatever weights `inner` depends on
    is (dPhi/dweights)^T v. If the steps converge and d is a minimum, that is the exact implicit
    gradient.

    Args:
        inner: the loss that the perturbation minimises, twice differentiable.
        perturbation: d, of any shape.
        outer_gradient: of the outer loss with respect to d, the same shape.
        rate: of Phi; the steps converge where it is below 2 / the largest curvature of `inner`.
        steps: 0 or more.

    Source: Zeng et al., ICLR 2022, arXiv:2110.03735, algorithm 1.
    """
    point = perturbation.detach().requires_grad_()
    (slope,) = torch.autograd.grad(inner(point), point, create_graph=True)
    moved = point - rate * slope
    vector = torch.zeros_like(point)
    for _ in range(steps):
        (pulled,) = torch.autograd.grad(moved, point, vector, retain_graph=True)
        vector = pulled + outer_gradient
    product = (moved * vector.detach()).sum()
    return product - product.detach()


class Perturbation(nn.Module):
    """One perturbation for all images.

    Args:
        size: height and width of the images, in pixels.
        start: values are drawn evenly from [-start, start], pixels in [0, 1].
    """

    def __init__(self, size: tuple[int, int], start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(1, 3, *size).uniform_(-start, start))


def inner_terms(
    encoder: Encoder, images: Tensor, perturbation: Tensor, penalty: float
) -> dict[str, Tensor]:
    """What a perturbation minimises: it changes features much and is itself small.

    Args:
        encoder: in eval mode.
        images: floats in [0, 1], shape (batch, 3, height, width).
        perturbation: shape (1, 3, height, width); the sum with an image is not clamped.
        penalty: of the squared length of the perturbation.
    """
    with torch.no_grad():
        before = encoder(images)
    change = clone_loss(encoder(images + perturbation), before)
    return {"change": -change, "size": penalty * perturbation.square().sum()}


class PerturbationObjective(Objective):
    """Find the perturbation that changes the features of an encoder, which is left as it is."""

    learner: Perturbation

    def __init__(
        self, encoder: Encoder, perturbation: Perturbation, *, penalty: float, radius: float
    ) -> None:
        super().__init__()
        self.learner = perturbation
        self.frozen = encoder.copy().requires_grad_(False)
        self.penalty, self.radius = penalty, radius

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The change as a negative term."""
        return inner_terms(self.frozen, to_unit_range(batch), self.learner.value, self.penalty)

    @torch.no_grad()
    def after_step(self) -> None:
        """Back into the box."""
        self.learner.value.clamp_(-self.radius, self.radius)


class UnlearningObjective(Objective):
    """Features of the suspect, with the perturbation and without; all modules in eval mode.

    Args:
        student: what is trained.
        teacher: the suspicious encoder, frozen.
        perturbation: shape (1, 3, height, width).
        reference: uint8 images on which the answer of the perturbation is foreseen.
        penalty: of the squared length of the perturbation.
        implicit: False leaves the answer out: adversarial fine-tuning.
        rate, steps: see `implicit_term`.
    """

    learner: Encoder
    perturbation: Tensor
    reference: Tensor
    full_precision = True  # second derivatives

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        perturbation: Tensor,
        reference: Tensor,
        *,
        penalty: float,
        implicit: bool,
        rate: float,
        steps: int,
    ) -> None:
        super().__init__()
        self.learner = student.requires_grad_(True)
        self.teacher = teacher.requires_grad_(False)
        self.register_buffer("perturbation", perturbation.detach().clone())
        self.register_buffer("reference", reference)
        self.penalty, self.rate, self.steps = penalty, rate, steps
        self.implicit = implicit

    def prepare(self) -> None:
        """Batch normalisation keeps its statistics, as in the original."""
        self.eval()

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass over images and perturbed images, one over the reference images."""
        images = to_unit_range(batch)
        with torch.no_grad():
            wanted = self.teacher(images)
        point = self.perturbation.clone().requires_grad_(self.implicit)
        perturbed, clean = self.learner(torch.cat([images + point, images])).chunk(2)
        adversarial = clone_loss(perturbed, wanted)
        terms = {"adversarial": adversarial, "clone": clone_loss(clean, wanted)}
        if self.implicit:
            (slope,) = torch.autograd.grad(adversarial, point, retain_graph=True)
            terms["implicit"] = self._foreseen(slope)
        return terms

    def _foreseen(self, outer_gradient: Tensor) -> Tensor:
        reference = to_unit_range(self.reference)

        def inner(point: Tensor) -> Tensor:
            terms = inner_terms(self.learner, reference, point, self.penalty)
            return torch.stack([*terms.values()]).sum()

        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            return implicit_term(
                inner, self.perturbation, outer_gradient, rate=self.rate, steps=self.steps
            )


@dataclass(frozen=True, kw_only=True)
class IBau(Defense):
    """Rounds of finding a universal perturbation and unlearning it.

    Attributes:
        epochs: rounds; in each the encoder is trained for one pass.
        batch_size: images of a step.
        learning_rate: of Adam, for the encoder.
        implicit: also follow how the perturbation answers; False is adversarial fine-tuning.
        steps: of the fixed-point iteration.
        rate: of the fixed-point map, for pixels in [0, 1].
        penalty: of the squared length of the perturbation.
        search_epochs: passes of a round to find the perturbation.
        search_rate: of Adam, for the perturbation, pixels in [0, 1].
        start: the perturbation is drawn evenly from [-start, start].
        radius: largest value of the perturbation, pixels in [0, 1].

    Raises:
        InputError: a setting is out of range.
    """

    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 1e-4
    implicit: bool = True
    steps: int = 5
    rate: float = 0.006
    penalty: float = 1e-3
    search_epochs: int = 1
    search_rate: float = 2 / 255
    start: float = 8 / 255
    radius: float = 16 / 255

    def __post_init__(self) -> None:
        if min(self.epochs, self.search_epochs) < 0:
            raise InputError(
                "epochs and search_epochs must be 0 or more, not "
                f"{self.epochs} and {self.search_epochs}"
            )
        if self.steps < 1:
            raise InputError(f"the fixed-point iteration needs 1 step or more, not {self.steps}")
        if not 0 < self.start <= self.radius <= 1:
            raise InputError(
                "start must be above 0 and at most the radius, and the radius at most 1, not "
                f"{self.start} and {self.radius}"
            )
        for name, value in (("rate", self.rate), ("penalty", self.penalty)):
            if not 0 <= value < math.inf:
                raise InputError(f"{name} must be 0 or more, not {value}")

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The student starts as a copy of the suspect; the history is that of the last round."""
        student, history = suspect.copy(), History()
        for index in range(self.epochs):
            perturbation = self.find(student, images, trainer, index)
            history = self._unlearn(student, suspect, perturbation, images, trainer, index)
        return Purification(encoder=student, history=history)

    def find(self, encoder: Encoder, images: ImageSet, trainer: Trainer, index: int) -> Tensor:
        """The perturbation that changes the features of an encoder most.

        Args:
            encoder: left as it is.
            images: clean.
            trainer: the environment.
            index: of the round, counted from 0; decides the start.

        Returns:
            Shape (1, 3, height, width), in [-radius, radius].
        """
        seed = mix_seed(self.seed, 2 * index)
        with seeded(seed):
            perturbation = Perturbation(images.size, self.start)
        objective = PerturbationObjective(
            encoder, perturbation, penalty=self.penalty, radius=self.radius
        )
        plan = self._plan(self.search_epochs, self.search_rate, seed)
        trainer.fit(objective, images, plan, name=f"i-bau-{index + 1}-search")
        return perturbation.value.detach()

    def _unlearn(
        self,
        student: Encoder,
        suspect: Encoder,
        perturbation: Tensor,
        images: ImageSet,
        trainer: Trainer,
        index: int,
    ) -> History:
        objective = UnlearningObjective(
            student,
            suspect,
            perturbation,
            images.batch(torch.arange(min(self.batch_size, len(images)))),
            penalty=self.penalty,
            implicit=self.implicit,
            rate=self.rate,
            steps=self.steps,
        )
        plan = self._plan(1, self.learning_rate, mix_seed(self.seed, 2 * index + 1))
        return trainer.fit(objective, images, plan, name=f"i-bau-{index + 1}-unlearn")

    def _plan(self, epochs: int, rate: float, seed: int) -> Plan:
        return Plan(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=rate,
            schedule="constant",
            seed=seed,
        )
