"""Training a critic: pairs as data, an estimator's loss as objective, the best step kept."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mimic.information.estimators import Estimator
from mimic.training import Objective, Plan, Trainer, mix_seed
from mimic.training.randomness import seeded


@dataclass(frozen=True)
class Pairs:
    """Samples of a joint distribution: x of shape (n, dx) and y of shape (n, dy), float32."""

    x: Tensor
    y: Tensor
    streamed: bool = False

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The pairs at `positions`."""
        return self.x[positions], self.y[positions]

    def normal_scores(self, reference: "Pairs") -> "Pairs":
        """Every coordinate bent so that those of `reference` are standard normal.

        A strictly increasing map of a coordinate leaves mutual information unchanged, and critics
        learn best where there are no heavy tails and no scales.
        """
        return Pairs(_normal_scores(self.x, reference.x), _normal_scores(self.y, reference.y))


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How a critic is trained.

    Attributes:
        steps: steps of AdamW, rounded up to whole epochs.
        batch_size: pairs of a step.
        learning_rate: peak; follows a cosine to zero.
        weight_decay: decoupled.
        validation: share of the training pairs that only choose the step to keep, in (0, 1).
        check_every: steps between two looks at them.
    """

    steps: int = 400
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    validation: float = 0.2
    check_every: int = 10

    def plan(self, pairs: int, seed: int) -> Plan:
        """The plan of a training on `pairs` pairs."""
        batches = max(1, pairs // self.batch_size)
        return Plan(
            epochs=math.ceil(self.steps / batches),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            optimizer="adamw",
            seed=seed,
        )


def fit_critic(
    estimator: Estimator, pairs: Pairs, *, fitting: Fitting, seed: int, trainer: Trainer, name: str
) -> nn.Module:
    """Train a critic on `pairs` (as normal scores) and return its best state.

    A seeded share of the pairs is not trained on and chooses the step to keep, the untrained critic
    included, so that a critic without anything to find stays close to a constant.
    """
    generator = torch.Generator().manual_seed(mix_seed(seed, 0))
    order = torch.randperm(len(pairs), generator=generator)
    held = max(2, round(fitting.validation * len(pairs)))
    training, validation = Pairs(*pairs.batch(order[held:])), Pairs(*pairs.batch(order[:held]))
    with seeded(mix_seed(seed, 1)):
        critic = estimator.critic(pairs.x.shape[1], pairs.y.shape[1])
    objective = CriticObjective(estimator, critic, validation, fitting.check_every)
    trainer.fit(objective, training, fitting.plan(len(training), seed), name=name)
    return objective.learner.best.eval()


class BestCritic(nn.Module):
    """A critic in training, the best one so far, and what has to survive an interruption."""

    state: Tensor
    best_loss: Tensor
    steps: Tensor

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic
        self.best = copy.deepcopy(critic).requires_grad_(False)
        self.register_buffer("state", torch.tensor(math.nan))
        self.register_buffer("best_loss", torch.tensor(math.inf))
        self.register_buffer("steps", torch.tensor(0))


class CriticObjective(Objective):
    """An estimator's training loss; keeps the critic with the lowest loss on `validation`."""

    learner: BestCritic
    full_precision = True

    def __init__(
        self, estimator: Estimator, critic: nn.Module, validation: Pairs, check_every: int
    ) -> None:
        super().__init__()
        self.estimator = estimator
        self.learner = BestCritic(critic)
        self.check_every = check_every
        self.register_buffer("validation_x", validation.x)
        self.register_buffer("validation_y", validation.y)
        self._keep_if_best()

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        loss, state = self.estimator.training_loss(self.learner.critic(*batch), self.learner.state)
        self.learner.state.copy_(state)
        return {"critic": loss}

    def after_step(self) -> None:
        self.learner.steps += 1
        if self.learner.steps.item() % self.check_every == 0:
            self._keep_if_best()

    @torch.no_grad()
    def _keep_if_best(self) -> None:
        scores = self.learner.critic(self.validation_x, self.validation_y)
        loss = self.estimator.loss(scores.double())
        if loss < self.learner.best_loss:
            self.learner.best_loss.copy_(loss)
            self.learner.best.load_state_dict(self.learner.critic.state_dict())


def _normal_scores(values: Tensor, reference: Tensor) -> Tensor:
    """Normal quantiles of the mean ranks that `values` (m, d) take among `reference` (n, d)."""
    ordered, columns = reference.T.contiguous().sort(dim=1).values, values.T.contiguous()
    below = torch.searchsorted(ordered, columns)
    not_above = torch.searchsorted(ordered, columns, right=True)
    ranks = (below + not_above + 1) / (2 * (len(reference) + 1))
    return torch.special.ndtri(ranks).T.contiguous()
