"""Generators: small image-to-image networks that an attacker trains to be the trigger."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.errors import InputError

_SMALLEST = 5
_DROPOUT = 0.5


class UNet(nn.Module):
    """U-Net without an activation at its end: INACTIVE's generator.

    Args:
        widths: channels of each resolution, the finest first; each further one is half as large,
            rounded up, so that images of any size pass.

    Source: Zhang et al., 2024, arXiv:2405.14672; the network is that of Ronneberger et al.,
        MICCAI 2015, arXiv:1505.04597, with padded convolutions and nearest up-sampling.
    """

    def __init__(self, *, widths: Sequence[int] = (4, 8, 16, 32, 64)) -> None:
        super().__init__()
        self.settings = {"widths": list(widths)}
        finer, coarser = widths[:-1], widths[1:]
        inputs = [3, *finer]
        self.down = nn.ModuleList(
            _double(a, b) for a, b in zip(inputs, [*finer, widths[-1]], strict=True)
        )
        self.up = nn.ModuleList(_conv(b, a) for a, b in zip(finer, coarser, strict=True))
        self.merge = nn.ModuleList(_double(2 * width, width) for width in finer)
        self.last = nn.Conv2d(widths[0], 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (batch, 3, height, width) to images of the same shape, of any range."""
        skips: list[Tensor] = []
        x = images
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2, ceil_mode=True) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            skip = skips[level]
            x = self.up[level](F.interpolate(x, size=skip.shape[2:], mode="nearest"))
            x = self.merge[level](torch.cat([skip, x], dim=1))
        return cast(Tensor, self.last(x))


class ResNetGenerator(nn.Module):
    """Down twice, residual blocks, up twice: BLTO's generator.

    Args:
        width: channels at full resolution; twice and four times as many at the lower ones.
        blocks: residual blocks at the lowest resolution.

    Source: the settings of Sun et al., ICLR 2024, arXiv:2404.07863, as third parties report them;
        the network is that of Johnson et al., ECCV 2016, arXiv:1603.08155.
    """

    def __init__(self, *, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        self.settings = {"width": width, "blocks": blocks}
        middle = 4 * width
        self.body = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_normed(nn.Conv2d(3, width, 7), width),
            *_normed(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), 2 * width),
            *_normed(nn.Conv2d(2 * width, middle, 3, stride=2, padding=1), middle),
            *(_Residual(middle) for _ in range(blocks)),
            *_normed(_doubling(middle, 2 * width), 2 * width),
            *_normed(_doubling(2 * width, width), width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (batch, 3, height, width) to images of the same shape, in [0, 1].

        Raises:
            InputError: the images are too small to be reflected at their borders.
        """
        height, width = images.shape[2:]
        if min(height, width) < _SMALLEST:
            raise InputError(
                f"this generator needs images of {_SMALLEST} pixels or more, not {height}x{width}"
            )
        # A size that is no multiple of four comes back rounded up to one.
        outputs = self.body(images)[:, :, :height, :width]
        return (torch.tanh(outputs) + 1) / 2


class PixelGenerator(nn.Module):
    """A generator between pixels: normalisation in front, the limits of a trigger behind.

    Args:
        network: what draws.
        mean, std: per-channel normalisation that the network works in; its output is taken back.
        budget: largest change of a pixel, in [0, 1]; the output is projected to that L-infinity
            ball around the image. None leaves changes unlimited.

    Raises:
        InputError: mean or std are not three values, a std is not positive, or the budget is out of
            range.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: UNet | ResNetGenerator,
        *,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        budget: float | None = None,
    ) -> None:
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or not min(std) > 0:
            raise InputError(
                "mean and std of a generator need three values each and std must be positive, "
                f"not {tuple(mean)} and {tuple(std)}"
            )
        if budget is not None and not 0 < budget <= 1:
            raise InputError(f"the budget of a generator must be above 0 and at most 1: {budget}")
        self.network = network
        self.budget = budget
        for name, values in (("mean", mean), ("std", std)):
            tensor = torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Triggered copies of images.

        In float32 whatever the precision around it: a trigger must not depend on that.

        Args:
            images: floats in [0, 1], shape (batch, 3, height, width).

        Returns:
            The same shape and range, float32. Gradients pass the limits as if these were not there:
            a generator whose first drawings lie outside would never learn otherwise.
        """
        with torch.autocast(images.device.type, enabled=False):
            images = images.float()
            drawn = self.network((images - self.mean) / self.std) * self.std + self.mean
            limited = drawn
            if self.budget is not None:
                limited = images + (drawn - images).clamp(-self.budget, self.budget)
            # The difference is zero, so that the limits hold to the last bit.
            return limited.clamp(0, 1).detach() + (drawn - drawn.detach())


class _Residual(nn.Module):
    """Two reflected 3x3 convolutions and a shortcut, with dropout in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(width, width, 3), width),
            nn.Dropout(_DROPOUT),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.body(x))


def _normed(convolution: nn.Module, width: int) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


def _conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(*_normed(nn.Conv2d(inputs, outputs, 3, padding=1), outputs))


def _double(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(_conv(inputs, outputs), _conv(outputs, outputs))


def _doubling(inputs: int, outputs: int) -> nn.Module:
    """A convolution that doubles height and width."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
