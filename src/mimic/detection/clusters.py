"""Clusters of features in the place of labels, and the one that is too easy to get into.

Zheng et al., "SSL-Cleanse: Trojan Detection and Mitigation in Self-Supervised Learning", ECCV 2024,
arXiv:2303.09079.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError

_FEWEST_NORMS = 5
_OUTLIER_SCALE = 1.4826
"""Makes the median absolute deviation of a normal distribution its standard deviation."""


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """A partition of features.

    Attributes:
        labels: cluster of each feature, 0 to count - 1, shape (n,), int64.
        centres: means of the clusters, scaled to length 1, shape (count, dimension).
        inertia: sum of squared distances of features of length 1 from their cluster's mean.
    """

    labels: Tensor
    centres: Tensor
    inertia: float

    def __len__(self) -> int:
        return len(self.centres)

    def members(self) -> list[Tensor]:
        """Positions of each cluster's features."""
        return [(self.labels == index).nonzero().flatten() for index in range(len(self))]


def cluster(features: Tensor, count: int, *, seed: int = 0, starts: int = 10) -> Clusters:
    """Partition features by k-means.

    Args:
        features: shape (n, dimension); scaled to length 1 here.
        count: of clusters, 1 to the number of different features.
        seed: of the first centres.
        starts: runs with other first centres, of which the best is taken.

    Raises:
        InputError: there are not that many different features.
    """
    from sklearn.cluster import KMeans

    unit = F.normalize(features.float(), dim=1)
    different = len(torch.unique(unit, dim=0))
    if not 1 <= count <= different:
        raise InputError(
            f"{len(unit)} images with {different} different features cannot make {count} clusters; "
            f"ask for 1 to {different}, or give more images"
        )
    # random_state takes 32 bits
    means = KMeans(count, n_init=starts, random_state=seed % 2**32).fit(unit.numpy())
    return Clusters(
        labels=torch.from_numpy(means.labels_).long(),
        centres=F.normalize(torch.from_numpy(means.cluster_centers_), dim=1),
        inertia=float(means.inertia_),
    )


def bend(values: Sequence[float]) -> int:
    """Where a falling curve bends most: the largest distance below the chord of its ends.

    The curve and its positions are scaled to [0, 1]; then 1 - position - value is largest there. A
    curve that does not fall bends at its start.

    Args:
        values: at equally spaced positions, one or more.

    Source: the simple form of Kneedle (Satopaa et al., ICDCS Workshops 2011), which SSL-Cleanse
        smooths over a sliding window first.
    """
    first, last = values[0], values[-1]
    if len(values) < 2 or first <= last:
        return 0
    below = [
        1 - place / (len(values) - 1) - (value - last) / (first - last)
        for place, value in enumerate(values)
    ]
    return below.index(max(below))


def natural_clusters(features: Tensor, *, most: int = 20, seed: int = 0) -> Clusters:
    """Clusters of a number at which more of them would hardly lie closer: see `bend`.

    Args:
        features: shape (n, dimension); scaled to length 1 here.
        most: the largest number tried, from 2 on; fewer where fewer features differ.
        seed: of k-means.

    Raises:
        InputError: `most` is below 2, or there are not two different features.
    """
    if most < 2:
        raise InputError(f"the largest number of clusters must be 2 or more, not {most}")
    different = len(torch.unique(F.normalize(features.float(), dim=1), dim=0))
    tried = range(2, max(2, min(most, different)) + 1)
    found = [cluster(features, count, seed=seed) for count in tried]
    return found[bend([clusters.inertia for clusters in found])]


def anomaly_index(norms: Sequence[float], *, scale: float = _OUTLIER_SCALE) -> float | None:
    """How far the smallest mask lies below the median, in robust standard deviations.

    Args:
        norms: sizes of one mask per cluster; the whole image where no trigger was found.
        scale: of the median absolute deviation. SSL-Cleanse's code takes 1.4826 / 0.6745, two
            constants of which either would do; its values are smaller by 0.6745.

    Returns:
        0 or more; 0 where all are equal, infinity where more than half are and the smallest is not.
        Values above 2 are usually flagged. None for fewer than 5 masks, which say nothing.
    """
    if len(norms) < _FEWEST_NORMS:
        return None
    middle = statistics.median(norms)
    deviation = statistics.median(abs(norm - middle) for norm in norms)
    below = middle - min(norms)
    if deviation == 0:
        return math.inf if below > 0 else 0.0
    return below / (scale * deviation)
