"""The localisation as published: an in-sample Donsker-Varadhan estimate by a large critic.

Han et al., "Mutual Information Guided Backdoor Mitigation for Pre-trained Encoders", IEEE TIFS
2025, arXiv:2406.03508, following its released code. Kept for comparison: it is judged on the images
it was trained on, so it finds information where there is none. Four things differ from the code
without changing what is estimated. The encoder's outputs are computed once, in float16 (the code
runs the encoder again for every batch of every epoch). Batches keep their composition but come in a
random order. Only the epochs that are averaged are evaluated. Logarithms of sums are taken without
overflow, where the code replaces the value by 0 or returns infinity.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.critics import ConcatenatedCritic
from mimic.information.estimate import MutualInformation
from mimic.information.features import collect, device_of, stage_names
from mimic.information.localization import Localization
from mimic.training import Objective, Plan, Trainer, mix_seed
from mimic.training.randomness import seeded

BATCH_SIZE = 128
EPOCHS = 200
AVERAGED_EPOCHS = 10
NAME = "published-dv"


@dataclass(frozen=True)
class BatchesOfPairs:
    """Pairs cut into batches whose composition never changes: item i is the i-th batch."""

    x: Tensor
    y: Tensor
    streamed: bool = False

    def __len__(self) -> int:
        return math.ceil(len(self.x) / BATCH_SIZE)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The pairs of the batches at `positions`, float32."""
        pairs = torch.arange(len(self.x)).split(BATCH_SIZE)
        chosen = torch.cat([pairs[position] for position in positions.tolist()])
        return self.x[chosen].float(), self.y[chosen].float()


class PublishedLearner(nn.Module):
    """The critic and the in-sample estimates of the last epochs."""

    values: Tensor
    steps: Tensor

    def __init__(self, critic: nn.Module, epochs: int) -> None:
        super().__init__()
        self.critic = critic
        values = torch.zeros(min(AVERAGED_EPOCHS, epochs), dtype=torch.float64)
        self.register_buffer("values", values)
        self.register_buffer("steps", torch.tensor(0))


class PublishedObjective(Objective):
    """Minus the Donsker-Varadhan value with partners shuffled once; judged on its own batches."""

    learner: PublishedLearner
    full_precision = True

    def __init__(self, critic: nn.Module, data: BatchesOfPairs, epochs: int) -> None:
        super().__init__()
        self.learner = PublishedLearner(critic, epochs)
        self.data = data
        self.epochs = epochs

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return {"critic": -shuffled_donsker_varadhan(self.learner.critic, *batch)}

    def after_step(self) -> None:
        self.learner.steps += 1
        epoch, rest = divmod(int(self.learner.steps.item()), len(self.data))
        place = epoch - 1 - (self.epochs - len(self.learner.values))
        if rest == 0 and place >= 0:
            self.learner.values[place] = self._in_sample_value()

    @torch.no_grad()
    def _in_sample_value(self) -> float:
        """Mean over all batches, those that are NaN or below zero counted as zero."""
        device = self.learner.values.device
        total = 0.0
        for index in range(len(self.data)):
            x, y = self.data.batch(torch.tensor([index]))
            value = shuffled_donsker_varadhan(self.learner.critic, x.to(device), y.to(device))
            total += max(0.0, value.nan_to_num(nan=0.0).item())
        return total / len(self.data)


def shuffled_donsker_varadhan(critic: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Donsker-Varadhan value of a batch, its product samples made by one random permutation.

    Args:
        critic: scores pairs, (n, dx) and (n, dy) to (n,).
        x: shape (n, dx).
        y: shape (n, dy).
    """
    shuffled = y[torch.randperm(len(y), device=y.device)]
    joint, product = critic(x, y), critic(x, shuffled)
    return joint.mean() - (product.logsumexp(dim=0) - math.log(len(y)))


def published_estimate(
    x: Tensor,
    y: Tensor,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    trainer: Trainer | None = None,
    name: str = "published",
) -> MutualInformation:
    """The published estimate: in-sample, never below zero, mean of the last 10 epochs.

    `standard_error` is the spread of these epochs, and `folds` holds their values: they say nothing
    about other samples.

    Args:
        x: shape (n, dx), any real dtype.
        y: shape (n, dy).
        epochs: passes over the pairs, 1 or more.
        seed: decides the critic's weights, the order and the permutations.
        trainer: where the critic is trained.
        name: of the training, for progress and checkpoints.

    Raises:
        InputError: no epochs, or x and y do not match.
    """
    if epochs < 1:
        raise InputError(f"the published estimate needs 1 epoch or more, not {epochs}")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise InputError(
            "x and y must be of shape (samples, dimensions) with as many samples in both, "
            f"not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    with seeded(mix_seed(seed, 0)):
        critic = ConcatenatedCritic(x.shape[1], y.shape[1])
    data = BatchesOfPairs(x, y)
    objective = PublishedObjective(critic, data, epochs)
    plan = Plan(
        epochs=epochs,
        batch_size=1,
        learning_rate=1e-3,
        weight_decay=1e-5,
        optimizer="adam",
        schedule="constant",
        seed=seed,
    )
    (trainer or Trainer()).fit(objective, data, plan, name=name)
    return MutualInformation.from_folds(tuple(objective.learner.values.tolist()), NAME)


def published_localize(
    encoder: Encoder,
    images: ImageSet,
    *,
    stages: Sequence[str] | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Localization:
    """The published localisation of all stages: whole flattened maps against normalised features.

    Maps are held in float16, one stage at a time: for 2,000 images and the first stage of a
    ResNet-18 at 32x32 these are 262 MB, and its critic with Adam's state 0.55 GB.

    Args:
        encoder: what is looked at; left as it is. The released code gives the untrained student.
        images: clean images, all of them are used, in their order.
        stages: names of stages; None takes the encoder's own.
        epochs: passes over the images per stage.
        seed: decides critics, order and permutations.
        trainer: where the encoder runs and critics are trained.

    Returns:
        As `localize` does; weights are shares, before the affine map of the published loss.

    Raises:
        InputError: an unknown stage, no epochs, or no images.
    """
    started = time.monotonic()
    trainer = trainer or Trainer()
    if len(images) == 0:
        raise InputError(f"'{images.name}' holds no images to look at")
    estimates: dict[str, MutualInformation] = {}
    for name in stage_names(encoder, images, stages):
        features, maps = collect(
            encoder,
            images,
            [name],
            dimensions=None,
            device=device_of(trainer),
            dtype=torch.float16,
        )
        estimates[name] = published_estimate(
            maps[name],
            features,
            epochs=epochs,
            seed=seed,
            trainer=trainer,
            name=f"published-{name}",
        )
    return Localization.from_estimates(
        estimates, images=len(images), seconds=time.monotonic() - started
    )
