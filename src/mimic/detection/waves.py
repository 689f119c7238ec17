"""Waves: faint gratings over the whole image, as a population like patches.

They stand for triggers in the frequency domain, such as that of CTRL, and for smooth pictures that
are blended in.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BUDGET = 0.1
"""Largest root mean square of what a candidate adds: a PSNR of 20 dB."""
TOGETHER = 2
"""Waves of a candidate, which are added up."""
_MEASURED_AT = 32
"""Height and width of the images that costs are computed for."""


@dataclass(frozen=True)
class Waves:
    """Sums of waves, each a cosine along the rows times one along the columns, in a colour.

    Attributes:
        rates: half periods per pixel along both axes, in [0, 1]: 0 is constant, and at 1 each pixel
            differs from its neighbour; shape (n, TOGETHER, 2).
        phases: in radians, shape (n, TOGETHER, 2).
        colours: amplitudes of red, green and blue, of pixels in [0, 1]; shape (n, TOGETHER, 3).
    """

    rates: Tensor
    phases: Tensor
    colours: Tensor

    def __len__(self) -> int:
        return len(self.rates)

    def __getitem__(self, chosen: Tensor) -> "Waves":
        return Waves(self.rates[chosen], self.phases[chosen], self.colours[chosen])

    @property
    def costs(self) -> Tensor:
        """Root mean square of what each adds to 32x32 pixels, before values are clamped, (n,)."""
        return self.pictures((_MEASURED_AT, _MEASURED_AT)).square().mean(dim=(1, 2, 3)).sqrt()

    def pictures(self, size: tuple[int, int]) -> Tensor:
        """What each adds to images of a size, shape (n, 3, height, width)."""
        rows, columns = (
            torch.cos(
                math.pi * self.rates[:, :, axis, None] * (torch.arange(length) + 0.5)
                + self.phases[:, :, axis, None]
            )
            for axis, length in enumerate(size)
        )
        return torch.einsum("nwc,nwh,nwv->nchv", self.colours, rows, columns)

    def lay(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Add candidate i to image i.

        Args:
            images: floats in [0, 1], shape (n, 3, height, width); left as they are.

        Returns:
            Images of the same shape in [0, 1], and masks (n, 1, height, width) of ones: no pixel
            shows what it did.
        """
        added = self.pictures((images.shape[2], images.shape[3])).to(images)
        return (images + added).clamp(0, 1), torch.ones_like(images[:, :1])

    def varied(self) -> "Waves":
        """Neighbours: moved a little in all respects, and made stronger or weaker."""
        rates = self.rates + 0.03 * torch.randn_like(self.rates)
        rates = 1 - (1 - rates.abs()).abs()  # what leaves [0, 1] is reflected
        phases = self.phases + 0.3 * torch.randn_like(self.phases)
        spread = 0.2 * self.colours.abs().amax(dim=(1, 2), keepdim=True)
        colours = self.colours + torch.randn_like(self.colours) * spread
        strength = torch.empty(len(self), 1, 1).uniform_(0.7, 1.3)
        return Waves(rates, phases, colours * strength).bounded()

    def bounded(self) -> "Waves":
        """The same waves; what is over the budget is made weaker."""
        return self.scaled(self.costs.clamp_max(BUDGET))

    def scaled(self, costs: Tensor) -> "Waves":
        """The same waves, stronger or weaker, with these costs, shape (n,)."""
        factors = costs / self.costs.clamp_min(1e-12)
        return Waves(self.rates, self.phases, self.colours * factors[:, None, None])

    def joined(self, other: "Waves") -> "Waves":
        """Both populations as one."""
        return Waves(
            torch.cat([self.rates, other.rates]),
            torch.cat([self.phases, other.phases]),
            torch.cat([self.colours, other.colours]),
        )


def random_waves(count: int) -> Waves:
    """Half of them of one wave alone; half of the rates are low.

    Random numbers come from torch's global generator.
    """
    rates = torch.rand(count, TOGETHER, 2)
    rates = torch.where(torch.rand(count, 1, 1) < 0.5, rates.square(), rates)
    phases = 2 * math.pi * torch.rand(count, TOGETHER, 2)
    colours = F.normalize(torch.randn(count, TOGETHER, 3), dim=2)
    colours[: count // 2, 1:] = 0
    waves = Waves(rates, phases, colours)
    return waves.scaled(BUDGET * torch.rand(count))
