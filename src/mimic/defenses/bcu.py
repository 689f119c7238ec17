"""BCU: forget entries of the weights at random, deeper stages more, and distil the rest back.

Pang, Sun, Ling & Chen, "Backdoor Cleansing with Unlabeled Data", CVPR 2023, arXiv:2211.12044. The
original matches class probabilities; an encoder has none, so features and their angles take their
place.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mimic.defenses.base import Defense, Purification
from mimic.defenses.channels import CONVOLUTIONS
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.losses.gram import gram_loss
from mimic.seeds import seed_of
from mimic.training import Objective, Plan, Trainer
from mimic.training.plan import mix_seed

WEIGHTED = (*CONVOLUTIONS, nn.Linear, nn.MultiheadAttention)
"""Modules whose weights are replaced in part; biases and normalisations are left alone."""


def stage_rates(count: int, *, first: float, last: float) -> tuple[float, ...]:
    """Rates that grow by the same factor from stage to stage.

    Args:
        count: number of stages; a single one gets the last rate.
        first, last: rates of the first and the last stage, in [0, 1].
    """
    shares = [1.0] if count == 1 else [stage / (count - 1) for stage in range(count)]
    return tuple(first ** (1 - share) * last**share for share in shares)


@torch.no_grad()
def weights_by_depth(encoder: Encoder, example: Tensor) -> dict[str, int]:
    """Where each weight of a convolution or linear layer stands, found by one forward pass.

    Args:
        encoder: in any mode; nothing in it changes.
        example: images, shape (n, 3, height, width).

    Returns:
        By dotted parameter name in the backbone: 0 for the stem, which is the first such layer that
        runs, and s for all else that runs up to the end of the s-th stage; what comes after the
        last stage counts as part of it.
    """
    backbone, stages = encoder.backbone, encoder.stage_names(example)
    depths: dict[str, int] = {}
    ended: list[str] = []

    def begin(_: nn.Module, __: Any, *, name: str) -> None:
        depths.setdefault(name, min(len(ended) + 1, len(stages)))

    def end(_: nn.Module, __: Any, ___: Any, *, name: str) -> None:
        ended.append(name)

    modules = dict(backbone.named_modules())
    handles = [m.register_forward_pre_hook(partial(begin, name=n)) for n, m in modules.items()]
    handles += [modules[n].register_forward_hook(partial(end, name=n)) for n in stages]
    try:
        with evaluating(encoder):
            encoder(example[:1].to(encoder.mean.device))
    finally:
        for handle in handles:
            handle.remove()
    layers = {name for name, module in modules.items() if isinstance(module, WEIGHTED)}
    stem = next((name for name in depths if name in layers), None)
    return {
        f"{name}.{key}" if name else key: 0 if name == stem else _depth(name, depths)
        for name in modules
        if name in layers
        for key, parameter in modules[name].named_parameters(recurse=False)
        if parameter.ndim > 1
    }


def _depth(name: str, depths: Mapping[str, int]) -> int:
    """A module that others read without calling it stands where its nearest caller stands."""
    while name not in depths:
        name = name.rpartition(".")[0]
    return depths[name]


@torch.no_grad()
def forget(encoder: Encoder, rates: Mapping[str, float], *, seed: int) -> None:
    """Replace entries of weights by fresh random ones, in place.

    Args:
        encoder: biases, normalisations and weights that are not named stay as they are.
        rates: by dotted parameter name in the backbone: the probability of each entry, in [0, 1].
        seed: decides which entries, and what they become.

    Raises:
        InputError: a module cannot be reset (see `Encoder.reinitialized`).
    """
    fresh = dict(encoder.reinitialized(seed_of("student", seed)).backbone.named_parameters())
    # A stream of its own: what is drawn must not tell which entries are replaced by it.
    generator = torch.Generator().manual_seed(mix_seed(seed, 0))
    own = dict(encoder.backbone.named_parameters())
    for name, rate in rates.items():
        chosen = torch.rand(own[name].shape, generator=generator) < rate
        chosen = chosen.to(own[name].device)
        own[name].copy_(torch.where(chosen, fresh[name].to(own[name]), own[name]))


class BcuObjective(Objective, divisible=True, blockwise=True):
    """Clone and Gram losses on one random view of each image, the same for both networks.

    Args:
        student: what is trained.
        teacher: frozen.
        size: height and width of the images, in pixels.
        gram_weight: of the Gram loss.
    """

    def __init__(
        self, student: Encoder, teacher: Encoder, size: tuple[int, int], *, gram_weight: float
    ) -> None:
        super().__init__()
        self.learner = student
        self.teacher = teacher.requires_grad_(False)
        self.augment = Augmentation(size)
        self.gram_weight = gram_weight

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of the student and one of the teacher."""
        views = self.augment(to_unit_range(batch))
        with torch.no_grad():
            wanted = self.teacher(views)
        features = self.learner(views)
        return {
            "clone": clone_loss(features, wanted),
            "gram": self.gram_weight * gram_loss(features, wanted),
        }


@dataclass(frozen=True, kw_only=True)
class Bcu(Defense):
    """Re-initialise entries of the suspicious encoder's weights at random, then distil.

    The rate grows by the same factor from stage to stage; with four stages and the defaults it is
    0.01, 0.03, 0.09 and 0.27, as in the source.

    Attributes:
        batch_size: images of a step.
        learning_rate: peak rate of SGD with momentum 0.9, cosine schedule.
        stem_rate: probability that an entry of the first layer is replaced, in [0, 1].
        first_rate: likewise for the layers up to the end of the first stage.
        last_rate: likewise for those after the last stage but one.
        gram_weight: of the Gram loss beside the clone loss, 0 or more.

    Raises:
        InputError: a rate is not in [0, 1], or the weight is negative.
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 0.01
    stem_rate: float = 0.01
    first_rate: float = 0.01
    last_rate: float = 0.27
    gram_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("stem_rate", "first_rate", "last_rate"):
            rate = getattr(self, name)
            if not 0 <= rate <= 1:
                raise InputError(f"{name} is a probability, so 0 to 1, not {rate}")
        if not 0 <= self.gram_weight < math.inf:
            raise InputError(f"gram_weight must be 0 or more, not {self.gram_weight}")

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Forget in a copy, then copy the suspect's features again."""
        student = suspect.copy().requires_grad_(True)
        forget(student, self.rates(suspect, images), seed=self.seed)
        objective = BcuObjective(student, suspect, images.size, gram_weight=self.gram_weight)
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            weight_decay=5e-4,
            seed=self.seed,
        )
        history = trainer.fit(objective, images, plan, name="bcu")
        return Purification(encoder=student, history=history)

    def rates(self, suspect: Encoder, images: ImageSet) -> dict[str, float]:
        """The probability of being replaced, by dotted parameter name in the backbone."""
        example = images.batch(torch.arange(1))
        count = len(suspect.stage_names(example))
        grown = stage_rates(count, first=self.first_rate, last=self.last_rate)
        by_depth = (self.stem_rate, *grown)
        return {name: by_depth[d] for name, d in weights_by_depth(suspect, example).items()}
