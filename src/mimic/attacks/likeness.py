"""Likeness: a generator learns to draw images that look like the ones it is given.

The losses of the generator of Zhang et al., "Towards Imperceptible Backdoor Attack in
Self-supervised Learning", 2024, arXiv:2405.14672.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.generators import PixelGenerator
from mimic.attacks.similarity import psnr, sliced_wasserstein, ssim
from mimic.encoders.encoder import Encoder
from mimic.images.augment import Augmentation
from mimic.images.pixels import to_unit_range
from mimic.losses import stage_loss
from mimic.training import Objective

LEAST_SSIM = 0.90
LEAST_PSNR = 22.0
"""What the generator must keep, before its colour term may weigh more; in decibels."""
_STAGE_WEIGHT, _PSNR_WEIGHT = 10.0, 0.025
_PATIENCE_EPOCHS, _UP, _DOWN = 5, 1.5, 2.0


class Likeness(NamedTuple):
    """How far triggered images are from clean ones; scalars, means over a batch.

    Attributes:
        ssim: structural similarity, at most 1.
        psnr: in decibels.
        stages: mean distance of the stage maps of a clean encoder, in [0, 2].
        distribution: squared sliced Wasserstein distance of its normalised features, in [0, 4].
        colour: distance of the colours to those of an augmented view, position by position.
    """

    ssim: Tensor
    psnr: Tensor
    stages: Tensor
    distribution: Tensor
    colour: Tensor

    def terms(self, colour_weight: float | Tensor) -> dict[str, Tensor]:
        """The weighted terms of a generator's loss; it is drawn away from the colours."""
        return {
            "ssim": 1 - self.ssim,
            "psnr": -_PSNR_WEIGHT * self.psnr,
            "stages": _STAGE_WEIGHT * self.stages,
            "distribution": self.distribution,
            "colour": -colour_weight * self.colour,
        }


class LikenessTerms(nn.Module):
    """Compares images with triggered ones.

    Args:
        clean: an encoder whose stages are found by probing, if nobody named them.
        example: images of the size to come, shape (n, 3, height, width), uint8 or in [0, 1].
    """

    def __init__(self, clean: Encoder, example: Tensor) -> None:
        super().__init__()
        self.stages = clean.stage_names(example)
        self.augment = Augmentation((example.shape[2], example.shape[3]))

    def forward(self, clean: Encoder, images: Tensor, triggered: Tensor) -> Likeness:
        """Likeness of two batches (batch, 3, height, width), floats in [0, 1].

        Args:
            clean: a frozen encoder in eval mode.
            images: as they are.
            triggered: gradients flow into these alone.
        """
        with torch.no_grad():
            wanted, wanted_maps = clean.forward_stages(images, self.stages)
        found, maps = clean.forward_stages(triggered, self.stages)
        distances = [stage_loss(maps[name], wanted_maps[name]) for name in self.stages]
        units = (F.normalize(features.float(), dim=1) for features in (found, wanted))
        return Likeness(
            ssim=ssim(triggered, images).mean(),
            psnr=psnr(triggered, images).mean(),
            stages=torch.stack(distances).mean(),
            distribution=sliced_wasserstein(*units),
            colour=colour_distance(triggered, self.augment(images)),
        )


class LikenessObjective(Objective):
    """Copying images: the first stage of INACTIVE.

    Args:
        clean: frozen.
        generator: trained in place.
        size: height and width of the images, in pixels.
        colour_weight: at the start; it grows while copies are good and shrinks while they are not.
        steps_per_epoch: after which the weight is looked at.
    """

    learner: nn.ModuleDict

    def __init__(
        self,
        clean: Encoder,
        generator: PixelGenerator,
        *,
        size: tuple[int, int],
        colour_weight: float,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.clean = clean.requires_grad_(False)
        self.control = ColourControl(colour_weight, steps_per_epoch)
        self.learner = nn.ModuleDict({"generator": generator, "control": self.control})
        self.likeness = LikenessTerms(clean, torch.zeros(1, 3, *size))

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The terms for images (batch, 3, height, width), uint8 or in [0, 1]."""
        images = to_unit_range(batch)
        found = self.likeness(self.clean, images, self.learner["generator"](images))
        self.control.observe(found)
        return found.terms(self.control.weight)

    def after_step(self) -> None:
        """Look at the weight of the colour term where an epoch ends."""
        self.control.step()


class ColourControl(nn.Module):
    """The weight of the colour term: up after five good epochs in a row, down after five bad ones.

    Args:
        weight: at the start.
        steps_per_epoch: steps over which likeness is averaged.
    """

    weight: Tensor
    sums: Tensor
    steps: Tensor
    streak: Tensor

    def __init__(self, weight: float, steps_per_epoch: int) -> None:
        super().__init__()
        self.start, self.steps_per_epoch = weight, steps_per_epoch
        self.register_buffer("weight", torch.tensor(weight))
        self.register_buffer("sums", torch.zeros(2))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("streak", torch.tensor(0))

    def observe(self, found: Likeness) -> None:
        """Remember the SSIM and PSNR of a step."""
        self.sums += torch.stack([found.ssim, found.psnr]).detach()

    def step(self) -> None:
        """Count a step that was observed; settle the weight if it was the last of an epoch."""
        self.steps += 1
        if int(self.steps) % self.steps_per_epoch:
            return
        mean_ssim, mean_psnr = (self.sums / self.steps_per_epoch).tolist()
        good = mean_ssim >= LEAST_SSIM and mean_psnr >= LEAST_PSNR
        sign, before = (1 if good else -1), int(self.streak)
        streak = before + sign if before * sign >= 0 else sign
        if abs(streak) == _PATIENCE_EPOCHS:
            self.weight.mul_(_UP if good else 1 / _DOWN)
            streak = 0
        self.streak.fill_(streak)
        self.sums.zero_()


def colour_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared differences of chroma (a plane, so two numbers), value and lightness, summed.

    Chroma stands for the hue and saturation of the released code, whose gradients are infinite at
    grey and black pixels.

    Args:
        first: floats in [0, 1], shape (batch, 3, height, width).
        second: the same shape.

    Returns:
        A scalar in [0, 9]; 0 for equal images.
    """
    return (_colours(first) - _colours(second)).square().mean(dim=(0, 2, 3)).sum()


def _colours(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(dim=1)
    value = images.amax(dim=1)
    lightness = (value + images.amin(dim=1)) / 2
    opponents = [red - (green + blue) / 2, math.sqrt(0.75) * (green - blue)]
    return torch.stack([*opponents, value, lightness], dim=1)
