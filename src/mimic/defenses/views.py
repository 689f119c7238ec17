"""Views: what the student sees of a batch, and what the teacher does."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mimic.detection.search import Population
from mimic.images.augment import Augmentation
from mimic.images.occlusion import random_occlusion


def occluded_views(
    views: Tensor, searched: Sequence[tuple[Population, float]], random_share: float
) -> tuple[Tensor, Tensor]:
    """Change the first views by searched changes, cover the next ones at random, the rest not.

    Args:
        views: floats in [0, 1], shape (batch, 3, height, width).
        searched: changes, each kind with its share of the views, in [0, 1].
        random_share: likewise, of random patches; all make at most 1.

    Returns:
        The views as the student sees them, and masks (batch, 1, height, width), 1 where one is
        covered.
    """
    parts, share, begin = [], 0.0, 0
    for changes, own_share in searched:
        share += own_share
        end = round(len(views) * share)
        if end > begin:
            chosen = changes[torch.randint(len(changes), (end - begin,))]
            parts.append(chosen.varied().lay(views[begin:end]))
        begin = end
    end = round(len(views) * (share + random_share))
    parts.append(random_occlusion(views[begin:end]))
    parts.append((views[end:], torch.zeros_like(views[end:, :1])))
    seen, covered = zip(*parts, strict=True)
    return torch.cat(seen), torch.cat(covered)


def mixed_views(augment: Augmentation, images: Tensor) -> Tensor:
    """One plain view of each image and one that is mixed with a view of another image.

    Mixing makes many more different inputs out of a few images (Beyer et al., "Knowledge
    distillation: a good teacher is patient and consistent", CVPR 2022, arXiv:2106.05237).

    Args:
        augment: makes random views.
        images: floats in [0, 1], shape (batch, 3, height, width).

    Returns:
        Views in random order, shape (2 * batch, 3, height, width).
    """
    plain, other = augment(torch.cat([images, images])).chunk(2)
    share = torch.rand(len(images), 1, 1, 1).to(images)
    mixed = torch.lerp(other, plain.roll(1, 0), share)
    return torch.cat([plain, mixed])[torch.randperm(2 * len(images)).to(images.device)]
