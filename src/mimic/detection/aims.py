"""Aims of a trigger inversion: where the features of stamped images should go, and did they?"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.errors import InputError


class Aim(nn.Module, ABC):
    """What the triggers of an inversion are to do with features.

    Args:
        count: of triggers.

    Raises:
        InputError: there is none.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        if count < 1:
            raise InputError(f"an inversion needs 1 trigger or more, not {count}")
        self.count = count

    @abstractmethod
    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """How near the triggers are.

        Args:
            features: of stamped images, of length 1, shape (triggers, images, dimension).

        Returns:
            Similarity in [-1, 1], which is maximised, and success rate, at most 1; (triggers,).
        """


class Gather(Aim):
    """All images with the trigger get one feature, wherever it lies.

    The similarity is the mean cosine of all pairs of different images. It is the success rate too.

    Args:
        count: of restarts, which differ in their first mask and pattern.

    Source: Feng et al. (DECREE), CVPR 2023, arXiv:2303.15180.
    """

    def __init__(self, count: int = 1) -> None:
        super().__init__(count)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See `Aim`.

        Raises:
            InputError: there is one image only, which has no pair.
        """
        images = features.shape[1]
        if images < 2:
            raise InputError(
                "how alike stamped images are takes two of them or more; raise the batch size"
            )
        together = features.sum(dim=1).square().sum(dim=1)
        alone = features.square().sum(dim=(1, 2))
        similarity = (together - alone) / (images * (images - 1))
        return similarity, similarity.detach()


class Towards(Aim):
    """Images with the trigger get the feature of a given centre.

    The similarity is the mean cosine to it. A trigger succeeds with an image that comes nearer to
    its own centre than to any other: one between the members of a cluster is not to be had. Up to
    a factor the gradient is what cosines to random members of the cluster have on average, which
    SSL-Cleanse takes.

    Args:
        centres: shape (centres, dimension); normalised here.
        targets: for each trigger the index of its centre.

    Raises:
        InputError: there are fewer than two centres, or a target is not one of them.

    Source: Zheng et al. (SSL-Cleanse), ECCV 2024, arXiv:2303.09079.
    """

    centres: Tensor
    targets: Tensor

    def __init__(self, centres: Tensor, targets: Sequence[int]) -> None:
        super().__init__(len(targets))
        if len(centres) < 2:
            raise InputError(
                f"a target is told from others by two centres or more, not {len(centres)}"
            )
        if not 0 <= min(targets) <= max(targets) < len(centres):
            raise InputError(f"targets must be in 0..{len(centres) - 1}, not {list(targets)}")
        # Not saved: features, and so centres, may differ in their last bits from run to run.
        self.register_buffer("centres", F.normalize(centres.float(), dim=1), persistent=False)
        self.register_buffer("targets", torch.tensor(targets))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See `Aim`."""
        # autocast would round the cosines to bfloat16
        with torch.autocast(features.device.type, enabled=False):
            cosines = features @ self.centres.T
        targets = self.targets[:, None].expand(-1, features.shape[1])
        own = cosines.gather(2, targets[:, :, None]).squeeze(2)
        hits = cosines.argmax(dim=2) == targets
        return own.mean(dim=1), hits.float().mean(dim=1)
