"""Colour maps: one affine rule for the colours of all pixels, as a population like patches.

A backdoor can answer to colours alone: that all of them lie in a plane, for example, or that the
hue is turned. The generator that INACTIVE learned for this zoo does little else.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

BUDGET = 0.1
"""Root mean square of the largest change that a map may make to the images: a PSNR of 20 dB."""
_MIDDLE = 0.5


@dataclass(frozen=True)
class ColourMaps:
    """Affine maps of colours, each within a budget.

    Attributes:
        changes: what is added to a colour c: changes @ (c - 0.5, 1), shape (n, 3, 4).
        moments: second moments of (c - 0.5, 1) over the pixels of the images that the budget is
            measured on, shape (4, 4).
    """

    changes: Tensor
    moments: Tensor

    def __len__(self) -> int:
        return len(self.changes)

    def __getitem__(self, chosen: Tensor) -> "ColourMaps":
        return replace(self, changes=self.changes[chosen])

    @property
    def costs(self) -> Tensor:
        """Root mean square of what each map changes, before values are clamped, shape (n,)."""
        squares = torch.einsum("nij,jk,nik->n", self.changes, self.moments, self.changes)
        return (squares / 3).clamp_min(0).sqrt()

    def lay(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Make map i to image i.

        Args:
            images: floats in [0, 1], shape (n, 3, height, width); left as they are.

        Returns:
            Images of the same shape in [0, 1], and masks (n, 1, height, width) of ones: no pixel
            shows what it did.
        """
        changes = self.changes.to(images)
        added = changes[:, :, :3] @ (images.flatten(2) - _MIDDLE) + changes[:, :, 3:]
        changed = (images + added.unflatten(2, images.shape[2:])).clamp(0, 1)
        return changed, torch.ones_like(images[:, :1])

    def varied(self) -> "ColourMaps":
        """Neighbours: maps moved a little or more, and made stronger or weaker."""
        far = 0.2 * torch.rand(len(self), 1, 1)
        strength = torch.empty(len(self), 1, 1).uniform_(0.7, 1.3)
        moved = self.changes + torch.randn_like(self.changes) * far * _SPREAD
        return replace(self, changes=moved * strength).bounded()

    def bounded(self) -> "ColourMaps":
        """The same maps; what is over the budget is made weaker."""
        return self.scaled(self.costs.clamp_max(BUDGET))

    def scaled(self, costs: Tensor) -> "ColourMaps":
        """The same maps, stronger or weaker, with these costs, shape (n,)."""
        factors = costs / self.costs.clamp_min(1e-12)
        return replace(self, changes=self.changes * factors[:, None, None])

    def joined(self, other: "ColourMaps") -> "ColourMaps":
        """Both populations as one; the budget is that of the first."""
        return replace(self, changes=torch.cat([self.changes, other.changes]))


_SPREAD = torch.tensor([1.0, 1.0, 1.0, 0.2])
"""Matrices against offsets: a unit of an offset changes an image by far more."""


def colour_moments(images: Tensor) -> Tensor:
    """What `ColourMaps.moments` holds, shape (4, 4).

    Args:
        images: floats in [0, 1], shape (n, 3, height, width).
    """
    colours = images.transpose(0, 1).flatten(1).T.double() - _MIDDLE
    homogeneous = torch.cat([colours, torch.ones_like(colours[:, :1])], dim=1)
    return (homogeneous.T @ homogeneous / len(homogeneous)).float()


def random_colour_maps(count: int, moments: Tensor) -> ColourMaps:
    """Half of them turn or remove one axis of colour, half mix colours at random.

    Random numbers come from torch's global generator.

    Args:
        count: how many.
        moments: see `ColourMaps`.
    """
    changes = torch.randn(count, 3, 4) * torch.rand(count, 1, 1) * _SPREAD
    turned = count // 2
    axes = F.normalize(torch.randn(turned, 3), dim=1)
    ends = axes + 0.3 * torch.randn(turned, 3) * (torch.rand(turned, 1) < 0.5)
    share = 2 * torch.rand(turned, 1, 1)
    changes[:turned, :, :3] = -share * F.normalize(ends, dim=1)[:, :, None] * axes[:, None]
    changes[:turned, :, 3] *= torch.rand(turned, 1) < 0.5
    return ColourMaps(changes, moments).bounded()
