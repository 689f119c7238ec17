"""Heads trained on frozen features: the linear probe and the MLP, and how any head predicts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.training import Objective, Plan, Trainer, mix_seed
from mimic.training.randomness import seeded

_PREDICT_CHUNK = 4096

MLP_FAST = Plan(epochs=60, batch_size=256, learning_rate=1e-3, schedule="constant", drop_last=False)
"""The default recipe of the MLP head: Adam 1e-3, batch 256, 60 epochs, shuffled."""

MLP_PUBLISHED = Plan(
    epochs=500,
    batch_size=64,
    learning_rate=1e-4,
    schedule="constant",
    drop_last=False,
    shuffle=False,
)
"""BadEncoder's recipe: Adam 1e-4, batch 64, 500 epochs, the same order in every epoch."""

LINEAR = Plan(
    epochs=40,
    batch_size=256,
    learning_rate=1e-2,
    optimizer="sgd",
    weight_decay=1e-4,
    schedule="cosine",
    drop_last=False,
)
"""SSL-Backdoor's recipe (SGD 0.01, batch 256, 40 epochs), but with a cosine for its rate."""


class Head(nn.Module):
    """A classifier of features that knows the labels it was fitted to.

    Subclasses give `forward`: features (n, dimension) to scores (n, classes), the highest wins.

    Args:
        classes: the labels behind the columns of the scores, ascending, shape (classes,).
    """

    classes: Tensor

    def __init__(self, classes: Tensor) -> None:
        super().__init__()
        self.register_buffer("classes", classes)


@torch.no_grad()
def predict(head: Head, features: Tensor) -> Tensor:
    """Labels that a fitted head gives to features.

    Args:
        head: of any kind; its mode is as before afterwards.
        features: as `extract_features` gives them, shape (n, dimension).

    Returns:
        Labels, int64, shape (n,), on the CPU.
    """
    was_training = head.training
    head.eval()
    device = head.classes.device
    labels = [
        head.classes[head(chunk.to(device)).argmax(dim=1)].cpu()
        for chunk in features.split(_PREDICT_CHUNK)
    ]
    head.train(was_training)
    return torch.cat(labels)


def fit_mlp(
    features: Tensor,
    labels: Tensor,
    *,
    seed: int = 0,
    trainer: Trainer | None = None,
    plan: Plan = MLP_FAST,
) -> Head:
    """The MLP head of the BadEncoder family, on features of unit length.

    Linear 512, ReLU, dropout 0.5, linear 256, ReLU, linear; cross-entropy. The last epoch counts,
    and nothing is chosen by looking at test labels.

    Args:
        features: shape (n, dimension).
        labels: whole numbers, shape (n,).
        seed: decides the first weights, the order and the dropout; it replaces the plan's.
        trainer: the environment; its folder is not used, a head takes seconds.
        plan: `MLP_FAST` or `MLP_PUBLISHED`.

    Raises:
        InputError: features and labels do not fit together.

    Source: Jia, Liu & Gong, "BadEncoder", IEEE S&P 2022, arXiv:2108.00352.
    """
    classes, targets = class_columns(features, labels)
    with _seeded(seed):
        network = nn.Sequential(
            nn.Linear(features.shape[1], 512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.Linear(256, len(classes)),
        )
    head = _NetworkHead(network, classes)
    return _trained(head, features, targets, replace(plan, seed=seed), trainer)


def fit_linear(
    features: Tensor,
    labels: Tensor,
    *,
    seed: int = 0,
    trainer: Trainer | None = None,
    plan: Plan = LINEAR,
) -> Head:
    """A linear probe on features that are standardised by the statistics of the training set.

    Args:
        features: shape (n, dimension).
        labels: whole numbers, shape (n,).
        seed: decides the first weights and the order; it replaces the plan's.
        trainer: the environment; its folder is not used.
        plan: how the linear layer is trained.

    Raises:
        InputError: features and labels do not fit together.

    Source: Saha et al., "Backdoor Attacks on Self-Supervised Learning", CVPR 2022,
    arXiv:2105.10123.
    """
    classes, targets = class_columns(features, labels)
    with _seeded(seed):
        linear = nn.Linear(features.shape[1], len(classes))
    head = _NetworkHead(nn.Sequential(Standardize(features), linear), classes)
    return _trained(head, features, targets, replace(plan, seed=seed), trainer)


class Standardize(nn.Module):
    """Shift and scale each dimension to mean 0 and variance 1 over the features it was made from.

    A dimension that never varies becomes zero.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        deviation, mean = torch.std_mean(features, dim=0, correction=0)
        # below this a float32 spread around the mean is rounding, and dividing would blow it up
        alive = deviation > 1e-6 * mean.abs().clamp_min(1e-6)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.where(alive, 1 / deviation, 0.0))

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, dimension) to the same shape."""
        return (features - self.mean) * self.scale


def class_columns(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The labels that occur, ascending, and for each feature the column of its label.

    Raises:
        InputError: features and labels do not fit together, or there are none.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or len(labels) == 0:
        raise InputError(
            "a head needs features (n, dimension) and one label each, "
            f"not {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    classes, targets = torch.unique(labels, return_inverse=True)
    return classes, targets


class _NetworkHead(Head):
    """Scores from a network."""

    def __init__(self, network: nn.Module, classes: Tensor) -> None:
        super().__init__(classes)
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        return self.network(features)


class _CrossEntropy(Objective):
    """Mean cross-entropy of a head's scores; features are too small a thing for half precision."""

    full_precision = True

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.learner = head

    def forward(self, batch: Any) -> dict[str, Tensor]:
        features, targets = batch
        return {"cross_entropy": F.cross_entropy(self.learner(features), targets)}


@dataclass(frozen=True)
class _LabelledFeatures:
    """Features with the columns of their labels, as the trainer reads them."""

    features: Tensor
    targets: Tensor
    streamed: bool = False

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.features[positions], self.targets[positions]


def _trained(
    head: Head, features: Tensor, targets: Tensor, plan: Plan, trainer: Trainer | None
) -> Head:
    # one folder serves many evaluations: a head found there would belong to another encoder
    environment = replace(trainer or Trainer(), folder=None, resume=False)
    data = _LabelledFeatures(features.float(), targets)
    environment.fit(_CrossEntropy(head), data, plan, name="head")
    return head.eval()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Fresh weights from a seed of their own; torch's random state is as before afterwards."""
    with seeded(mix_seed(seed, -1)):
        yield
