"""Estimators of mutual information: a value of a score matrix and the loss that trains the critic.

A critic scores every pairing of a batch, `scores[i, j] = T(x_i, y_j)`: the diagonal holds samples
of the joint distribution, the rest samples of the product of the marginals. An estimator is one row
of `ESTIMATORS`: pure functions of that matrix. Exponentials are only ever summed in the log
domain, and entries are left out by -inf before the exponential, never by 0 (exp(0) is 1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.information.critics import GaussianCritic, SeparableCritic

Loss = Callable[[Tensor], Tensor]
Surrogate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

SMILE_CLIP = 5.0
MOVING_AVERAGE = 0.9


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """One way to estimate mutual information.

    Attributes:
        summary: one line for people.
        bound: on which side of the mutual information the value lies for any critic, given exact
            expectations; "none" if on neither.
        critic: builds the network from the dimensions of x and y.
        value: scores (n, n) to nats, a scalar; read on held-out samples, never clamped.
        loss: scores (n, n) to what training minimises; also chooses the step to keep.
        surrogate: where the gradient is not that of `loss`: (scores, state) to (loss, next state).
            The state is a scalar, NaN before the first batch.
    """

    summary: str
    bound: Literal["lower", "upper", "none"]
    critic: Callable[[int, int], nn.Module]
    value: Callable[[Tensor], Tensor]
    loss: Loss
    surrogate: Surrogate | None = None

    def training_loss(self, scores: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch whose gradient trains the critic, and the next state."""
        if self.surrogate is None:
            return self.loss(scores), state
        return self.surrogate(scores, state)


def donsker_varadhan(scores: Tensor) -> Tensor:
    """Mean of the joint scores minus the log of the mean exponential of the others.

    A lower bound with exact expectations; the log of a batch mean biases the value upward.

    Args:
        scores: shape (n, n), n of 2 or more.

    Source: Donsker & Varadhan, 1983; Belghazi et al., ICML 2018, arXiv:1801.04062.
    """
    return scores.diagonal().mean() - _log_mean_exp_product(scores)


def nguyen_wainwright_jordan(scores: Tensor) -> Tensor:
    """Mean of the joint scores minus the mean of exp(score - 1) of the others; a lower bound.

    The exponent stops at the largest finite number of the dtype, so the value stays finite.

    Args:
        scores: shape (n, n), n of 2 or more.

    Source: Nguyen, Wainwright & Jordan, IEEE TIT 2010, arXiv:0809.0853.
    """
    largest = math.log(torch.finfo(scores.dtype).max) - 1
    return scores.diagonal().mean() - (_log_mean_exp_product(scores) - 1).clamp(max=largest).exp()


def infonce(scores: Tensor) -> Tensor:
    """Log-likelihood of finding the partner among n candidates, plus log n; never above log n.

    Args:
        scores: shape (n, n); column j is the candidate y_j.

    Source: van den Oord, Li & Vinyals, 2018, arXiv:1807.03748.
    """
    log_likelihood = scores.diagonal() - scores.logsumexp(dim=1)
    return math.log(len(scores)) + log_likelihood.mean()


def smile(scores: Tensor, clip: float = SMILE_CLIP) -> Tensor:
    """Donsker-Varadhan whose exponentials are clipped to [exp(-clip), exp(clip)]; not a bound.

    Args:
        scores: shape (n, n), n of 2 or more.
        clip: limit of the scores of the product samples, in nats.

    Source: Song & Ermon, ICLR 2020, arXiv:1910.06222.
    """
    return scores.diagonal().mean() - _log_mean_exp_product(scores.clamp(-clip, clip))


def club(scores: Tensor) -> Tensor:
    """Mean log-likelihood of the joint pairs minus that of all pairs.

    An upper bound if the scores are the true log p(y_j | x_i).

    Args:
        scores: log q(y_j | x_i), shape (n, n).

    Source: Cheng et al., ICML 2020, arXiv:2006.12013.
    """
    return scores.diagonal().mean() - scores.mean()


def jensen_shannon_loss(scores: Tensor) -> Tensor:
    """Binary cross-entropy of telling joint pairs from others.

    The best critic is log p(x, y) / (p(x) p(y)), as for Donsker-Varadhan.

    Args:
        scores: shape (n, n), n of 2 or more.
    """
    joint = F.softplus(-scores.diagonal()).mean()
    softplus = F.softplus(scores)
    count = len(scores) * (len(scores) - 1)
    return joint + (softplus.sum() - softplus.diagonal().sum()) / count


def moving_average_loss(
    scores: Tensor, log_average: Tensor, decay: float = MOVING_AVERAGE
) -> tuple[Tensor, Tensor]:
    """Donsker-Varadhan whose gradient is divided by a moving average of the mean exponential.

    The batch mean in the denominator makes the plain gradient biased. The average
    `decay * old + (1 - decay) * batch` is kept in the log domain and starts with the first batch.
    It corrects the gradient, not the value: at `decay` 0 the gradient is the plain one.

    Args:
        scores: shape (n, n), n of 2 or more.
        log_average: logarithm of the moving average, a scalar; NaN before the first batch.
        decay: share of the old average, in [0, 1).

    Returns:
        A loss with that gradient (its value means nothing), and the next `log_average`.

    Source: Belghazi et al., ICML 2018, arXiv:1801.04062, section 3.2.
    """
    log_batch = _log_mean_exp_product(scores)
    now = log_batch.detach()
    share = now.new_tensor([decay, 1 - decay]).log()
    mixed = torch.logaddexp(log_average.to(now) + share[0], now + share[1])
    log_average = torch.where(log_average.isnan(), now, mixed)
    return (log_batch - log_average).exp() - scores.diagonal().mean(), log_average


def _log_mean_exp_product(scores: Tensor) -> Tensor:
    """Logarithm of the mean of exp(score) over the pairs that are not partners, a scalar."""
    size = len(scores)
    partners = torch.eye(size, dtype=torch.bool, device=scores.device)
    product = scores.masked_fill(partners, -math.inf)
    return product.flatten().logsumexp(dim=0) - math.log(size * (size - 1))


def _negative(value: Loss, scores: Tensor) -> Tensor:
    return -value(scores)


def _negative_log_likelihood(scores: Tensor) -> Tensor:
    return -scores.diagonal().mean()


ESTIMATORS: dict[str, Estimator] = {
    "dv": Estimator(
        summary="Donsker-Varadhan: lower bound, tight, high variance",
        bound="lower",
        critic=SeparableCritic,
        value=donsker_varadhan,
        loss=partial(_negative, donsker_varadhan),
    ),
    "mine": Estimator(
        summary="Donsker-Varadhan trained with MINE's moving-average gradient",
        bound="lower",
        critic=SeparableCritic,
        value=donsker_varadhan,
        loss=partial(_negative, donsker_varadhan),
        surrogate=moving_average_loss,
    ),
    "nwj": Estimator(
        summary="Nguyen-Wainwright-Jordan: lower bound, unbiased, high variance",
        bound="lower",
        critic=SeparableCritic,
        value=nguyen_wainwright_jordan,
        loss=partial(_negative, nguyen_wainwright_jordan),
    ),
    "infonce": Estimator(
        summary="InfoNCE: lower bound, low variance, never above log(samples of a fold)",
        bound="lower",
        critic=SeparableCritic,
        value=infonce,
        loss=partial(_negative, infonce),
    ),
    "smile": Estimator(
        summary="SMILE: clipped Donsker-Varadhan, trained with Jensen-Shannon; not a bound",
        bound="none",
        critic=SeparableCritic,
        value=smile,
        loss=jensen_shannon_loss,
    ),
    "club": Estimator(
        summary="CLUB: upper bound as far as a Gaussian fits p(y | x)",
        bound="upper",
        critic=GaussianCritic,
        value=club,
        loss=_negative_log_likelihood,
    ),
}


def get_estimator(name: str) -> Estimator:
    """The estimator called `name`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in ESTIMATORS:
        raise InputError(f"estimator '{name}' is unknown; there are {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name]
