"""Trigger inversion: the smallest patch that, laid on any image, sends its feature where we ask.

By gradients through the frozen encoder, without labels and without knowing the trigger. Many
triggers are looked for at once, as one batch: several restarts, or one for each target. Each has a
mask and a pattern of its own, and a weight of the mask's size that rises while the trigger does its
work and falls while it does not.

Feng et al., "Detecting Backdoors in Pre-trained Encoders" (DECREE), CVPR 2023, arXiv:2303.15180.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.detection.aims import Aim
from mimic.detection.penalty import MaskPenalty
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.pixels import through_floats, to_unit_range
from mimic.training import Objective, Plan, Trainer
from mimic.training.randomness import seeded

_INSIDE = 1 - 1e-6
"""Keeps first values off 0 and 1, where the gradient is zero."""


def lay(images: Tensor, masks: Tensor, patterns: Tensor) -> Tensor:
    """Images with patterns on them: (1 - mask) * image + mask * pattern.

    Args:
        images: floats in [0, 1], shape (..., 3, height, width).
        masks: in [0, 1], shape (..., 1, height, width); all three are broadcast.
        patterns: floats in [0, 1], shape (..., 3, height, width).
    """
    return torch.lerp(images, patterns, masks)


@dataclass(frozen=True, kw_only=True)
class InvertedTriggers:
    """The best trigger of each search.

    Attributes:
        masks: in [0, 1], shape (triggers, 1, height, width).
        patterns: in [0, 1], shape (triggers, 3, height, width).
        similarity: what the aim measured with it on one batch of images, shape (triggers,).
        success: whether its success rate was above the threshold there, shape (triggers,). Without
            success it is the trigger of the highest similarity and its size says nothing.
    """

    masks: Tensor
    patterns: Tensor
    similarity: Tensor
    success: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def norms(self) -> Tensor:
        """L1 norms of the masks, in pixels, shape (triggers,)."""
        return self.masks.sum(dim=(1, 2, 3))

    @property
    def shares(self) -> Tensor:
        """Share of the image that each mask covers, in [0, 1]: DECREE's PL1; shape (triggers,)."""
        return self.masks.mean(dim=(1, 2, 3))

    def smallest(self) -> int:
        """Which trigger is the smallest with success; without any, the one most similar."""
        if bool(self.success.any()):
            return int(self.norms.masked_fill(~self.success, math.inf).argmin())
        return int(self.similarity.argmax())

    def stamp(self, index: int) -> Callable[[Tensor], Tensor]:
        """A function that lays trigger `index` on images, as `extract_features` takes it.

        It maps uint8 to uint8 and floats in [0, 1] to floats, shape (n, 3, height, width).
        """
        mask, pattern = self.masks[index], self.patterns[index]

        def stamped(images: Tensor) -> Tensor:
            here = mask.to(images.device), pattern.to(images.device)
            return through_floats(images, lambda floats: lay(floats, *here))

        return stamped


class TriggerSearch(nn.Module):
    """What is learned: masks and patterns of all triggers, and the best ones so far.

    Args:
        count: of triggers; their first masks and patterns are drawn evenly from [0, 1].
        size: height and width of the images, in pixels.
        weight: of the masks' sizes at the start.
    """

    weight: Tensor
    streak: Tensor
    best_masks: Tensor
    best_patterns: Tensor
    best_similarity: Tensor
    success: Tensor

    def __init__(self, count: int, size: tuple[int, int], weight: float) -> None:
        super().__init__()
        self.raw_masks = nn.Parameter(torch.atanh(_INSIDE * (2 * torch.rand(count, 1, *size) - 1)))
        self.raw_patterns = nn.Parameter(
            torch.atanh(_INSIDE * (2 * torch.rand(count, 3, *size) - 1))
        )
        self.register_buffer("weight", torch.full((count,), weight))
        self.register_buffer("streak", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("best_masks", torch.ones(count, 1, *size))
        self.register_buffer("best_patterns", torch.zeros(count, 3, *size))
        self.register_buffer("best_similarity", torch.full((count,), -math.inf))
        self.register_buffer("success", torch.zeros(count, dtype=torch.bool))

    def sizes(self) -> Tensor:
        """Mean of each best mask, infinite where there was no success, shape (triggers,)."""
        return self.best_masks.mean(dim=(1, 2, 3)).masked_fill(~self.success, math.inf)

    def values(self) -> tuple[Tensor, Tensor]:
        """Masks (triggers, 1, height, width) and patterns (triggers, 3, ...), in [0, 1]."""
        return (self.raw_masks.tanh() + 1) / 2, (self.raw_patterns.tanh() + 1) / 2

    @torch.no_grad()
    def keep_best(
        self, masks: Tensor, patterns: Tensor, similarity: Tensor, success: Tensor
    ) -> None:
        """Keep what is better: smaller with success or, until there is some, more similar."""
        smaller = masks.mean(dim=(1, 2, 3)) < self.best_masks.mean(dim=(1, 2, 3))
        first = success & ~self.success
        nearer = ~self.success & (similarity > self.best_similarity)
        better = first | (success & smaller) | nearer
        chosen = better[:, None, None, None]
        self.best_masks.copy_(torch.where(chosen, masks, self.best_masks))
        self.best_patterns.copy_(torch.where(chosen, patterns, self.best_patterns))
        self.best_similarity.copy_(torch.where(better, similarity, self.best_similarity))
        self.success.logical_or_(success)

    def found(self) -> InvertedTriggers:
        """The best triggers so far, on the CPU."""
        return InvertedTriggers(
            masks=self.best_masks.cpu().contiguous(),
            patterns=self.best_patterns.cpu().contiguous(),
            similarity=self.best_similarity.cpu(),
            success=self.success.cpu(),
        )


class InversionObjective(Objective):
    """Minus the similarity of stamped images, plus the weighted size of the masks.

    Terms are sums over triggers, so that the gradient of one does not depend on how many there are.

    Args:
        encoder: frozen, in eval mode.
        aim: where stamped features should go.
        size: height and width of the images, in pixels.
        penalty: how the masks' sizes are weighed.
        threshold: success rate of the aim above which a step is a success.
    """

    learner: TriggerSearch

    def __init__(
        self,
        encoder: Encoder,
        aim: Aim,
        size: tuple[int, int],
        *,
        penalty: MaskPenalty,
        threshold: float,
    ) -> None:
        super().__init__()
        self.learner = TriggerSearch(aim.count, size, penalty.start)
        self.encoder = encoder.requires_grad_(False)
        self.aim = aim
        self.penalty, self.threshold = penalty, threshold
        # In words, so that a checkpoint of another penalty is not resumed.
        self.rule = str(penalty)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass over all images with all triggers.

        Args:
            batch: images of each trigger, (triggers or 1, images, 3, height, width).
        """
        masks, patterns = self.learner.values()
        stamped = lay(to_unit_range(batch), masks[:, None], patterns[:, None])
        features = F.normalize(self.encoder(stamped.flatten(0, 1)).float(), dim=1)
        similarity, rate = self.aim(features.unflatten(0, stamped.shape[:2]))
        success = rate > self.threshold
        search, sizes = self.learner, masks.mean(dim=(1, 2, 3))
        terms = {"similarity": -similarity.sum(), "mask": (search.weight * sizes).sum()}
        search.keep_best(masks, patterns, similarity, success)
        search.weight, search.streak = self.penalty.adapt(search.weight, search.streak, success)
        return terms


@dataclass(frozen=True, kw_only=True)
class _OwnImages:
    """Each trigger's own images: row i of `rows` holds their positions for trigger i."""

    images: ImageSet
    rows: Tensor

    @property
    def streamed(self) -> bool:
        return self.images.streamed

    def __len__(self) -> int:
        return self.rows.shape[1]

    def batch(self, positions: Tensor) -> Tensor:
        """Images (triggers or 1, positions, 3, height, width)."""
        chosen = self.rows[:, positions]
        return self.images.batch(chosen.flatten()).unflatten(0, chosen.shape)


def invert(
    encoder: Encoder,
    images: ImageSet,
    aim: Aim,
    *,
    sources: Sequence[Tensor] | None = None,
    steps: int = 500,
    batch_size: int = 32,
    learning_rate: float = 0.1,
    penalty: MaskPenalty | None = None,
    threshold: float = 0.99,
    seed: int = 0,
    name: str = "inversion",
    trainer: Trainer | None = None,
) -> InvertedTriggers:
    """Look for the smallest triggers that reach an aim.

    Memory grows with triggers * batch_size, which pass through the encoder together.

    Args:
        encoder: any; bit-identical afterwards, with its modes, flags and device.
        images: clean images of any size that the encoder takes.
        aim: where stamped features should go, and how many triggers there are.
        sources: positions of the images that each trigger is laid on, one tensor per trigger; None
            lays every trigger on all of them.
        steps: of the optimizer; rounded up to whole passes over the images.
        batch_size: images that each trigger is laid on in a step; fewer where there are fewer.
        learning_rate: peak rate of Adam, cosine schedule. DECREE's optimisation as published is
            another one: `mimic.detection.decree`.
        penalty: how the masks' sizes are weighed; None takes the rule of DECREE.
        threshold: success rate above which a trigger does its work, in (0, 1).
        seed: of the first masks and patterns and of the order of images.
        name: of the training, for checkpoints and the progress bar.
        trainer: the environment; None picks the best device of this machine.

    Returns:
        For each trigger the smallest mask of any step that had success.

    Raises:
        InputError: a setting is out of range, a trigger has no images, or the aim cannot be
            measured on so few images.
    """
    if steps < 1:
        raise InputError(f"an inversion takes 1 step or more, not {steps}")
    if not 0 < threshold < 1:
        raise InputError(f"the threshold of success must be in (0, 1), not {threshold}")
    given = sources if sources is not None else [torch.arange(len(images))]
    if min(map(len, given)) == 0 or len(given) not in (1, aim.count):
        raise InputError(
            f"each of the {aim.count} triggers needs images that it is laid on; there are "
            f"{[len(source) for source in given]} for {len(given)}"
        )
    length = min(max(map(len, given)), steps * batch_size)
    with seeded(seed):
        shuffled = [source[torch.randperm(len(source))] for source in given]
        objective = InversionObjective(
            encoder.copy(),
            aim,
            images.size,
            penalty=penalty or MaskPenalty(),
            threshold=threshold,
        )
    rows = torch.stack([source[torch.arange(length) % len(source)] for source in shuffled])
    plan = Plan(epochs=1, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    epochs = math.ceil(steps / plan.batches_per_epoch(length))
    (trainer or Trainer()).fit(
        objective, _OwnImages(images=images, rows=rows), replace(plan, epochs=epochs), name=name
    )
    return objective.learner.found()
