"""Mutual information of two samples, cross-fitted: no critic judges the pairs it learned from."""

import math
import statistics
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mimic.errors import InputError
from mimic.information.estimators import Estimator, get_estimator
from mimic.information.fitting import Fitting, Pairs, fit_critic
from mimic.training import Trainer, mix_seed

LARGEST_SCORE_MATRIX = 8192
_SMALLEST_FOLD = 4


@dataclass(frozen=True, kw_only=True)
class MutualInformation:
    """An estimate of mutual information.

    Attributes:
        nats: mean over the folds; raw, so it may be below zero.
        standard_error: of that mean, in nats, from the spread of the folds.
        folds: the estimate of each fold, in nats.
        estimator: name of the estimator.
    """

    nats: float
    standard_error: float
    folds: tuple[float, ...]
    estimator: str

    @classmethod
    def from_folds(cls, folds: tuple[float, ...], estimator: str) -> "MutualInformation":
        """Mean and standard error of the values of the folds; one value alone has error 0."""
        spread = statistics.stdev(folds) if len(folds) > 1 else 0.0
        return cls(
            nats=statistics.fmean(folds),
            standard_error=spread / math.sqrt(len(folds)),
            folds=folds,
            estimator=estimator,
        )


def estimate(
    x: Tensor,
    y: Tensor,
    *,
    estimator: str = "infonce",
    folds: int = 3,
    seed: int = 0,
    fitting: Fitting | None = None,
    trainer: Trainer | None = None,
    name: str = "mutual-information",
) -> MutualInformation:
    """Estimate I(x; y) from pairs, each fold judged by a critic trained on the others.

    Each coordinate is replaced by its normal score among the training folds, which changes no
    mutual information: the estimate depends on neither the units nor the tails of x and y. A
    held-out fold is scored as one matrix, in blocks of at most 8192 pairs that are averaged. A
    large value needs many samples: InfoNCE cannot exceed log(samples / folds), and the others
    become noisy there.

    Args:
        x: shape (n, dx); one-dimensional means dx = 1. Any real dtype; computed in float32.
        y: shape (n, dy), in the order of x.
        estimator: a name of `ESTIMATORS`.
        folds: parts of the data, 2 or more.
        seed: decides the folds, the critics' weights and the order of training.
        fitting: how a critic is trained.
        trainer: where it is trained; by default the best device, without progress.
        name: of the trainings, for progress and checkpoints.

    Raises:
        InputError: an unknown estimator, x and y that do not match or are not finite, fewer than 2
            folds, or fewer than 4 samples per fold.
    """
    chosen = get_estimator(estimator)
    pairs = _check(x, y, folds)
    fitting, trainer = fitting or Fitting(), trainer or Trainer()
    generator = torch.Generator().manual_seed(mix_seed(seed, folds))
    parts = torch.randperm(len(pairs), generator=generator).tensor_split(folds)
    values = []
    for index, part in enumerate(parts):
        rest = torch.cat([other for position, other in enumerate(parts) if position != index])
        training, held_out = Pairs(*pairs.batch(rest)), Pairs(*pairs.batch(part))
        critic = fit_critic(
            chosen,
            training.normal_scores(training),
            fitting=fitting,
            seed=mix_seed(seed, index),
            trainer=trainer,
            name=f"{name}-fold{index + 1}",
        )
        values.append(held_out_value(chosen, critic, held_out.normal_scores(training)))
    return MutualInformation.from_folds(tuple(values), estimator)


@torch.no_grad()
def held_out_value(estimator: Estimator, critic: nn.Module, pairs: Pairs) -> float:
    """The estimator's value in nats on pairs that `critic` has not seen, in float64 sums."""
    device = next(critic.parameters()).device
    blocks = math.ceil(len(pairs) / LARGEST_SCORE_MATRIX)
    total = 0.0
    for block in torch.arange(len(pairs)).tensor_split(blocks):
        x, y = pairs.batch(block)
        scores = critic(x.to(device), y.to(device)).double()
        total += len(block) * estimator.value(scores).item()
    return total / len(pairs)


def _check(x: Tensor, y: Tensor, folds: int) -> Pairs:
    x, y = (values.detach().float().cpu() for values in (x, y))
    x, y = (values.unsqueeze(1) if values.ndim == 1 else values for values in (x, y))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise InputError(
            "x and y must be of shape (samples, dimensions) with as many samples in both, "
            f"not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if folds < 2:
        raise InputError(f"an estimate on held-out samples needs 2 folds or more, not {folds}")
    if len(x) < _SMALLEST_FOLD * folds:
        raise InputError(
            f"{folds} folds need at least {_SMALLEST_FOLD * folds} samples, not {len(x)}; "
            "use more samples or fewer folds"
        )
    if not (x.isfinite().all() and y.isfinite().all()):
        raise InputError("x and y must be finite: there are NaN or infinite values among them")
    return Pairs(x, y)
