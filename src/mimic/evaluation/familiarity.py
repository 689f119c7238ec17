"""Have the images the statistics that an encoder has gathered in training? No label is needed."""

from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from mimic.encoders.batch_norms import BATCH_NORMS, batch_norms
from mimic.encoders.encoder import Encoder
from mimic.evaluation.moments import Moments, input_moments
from mimic.images.decode import Size
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

LIMIT = 1 / 3
"""Images further away than this share of the distance of noise look unlike those of training."""

_NOISE_IMAGES = 256


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """How far what an encoder sees in images is from its running statistics.

    Attributes:
        distance: squared Hellinger distance between the two normal distributions of a channel,
            averaged over the channels of all batch normalisations together; in [0, 1].
        noise_distance: the same for images of uniform noise.
        layers: batch normalisations that were compared.
        images: images that were looked at.
    """

    distance: float
    noise_distance: float
    layers: int
    images: int

    @property
    def unlike(self) -> bool:
        """Whether the images look unlike those of the training."""
        return self.distance > LIMIT * self.noise_distance

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"limit": LIMIT, "unlike": self.unlike}


def compare_statistics(
    encoder: Encoder, images: ImageSet, *, trainer: Trainer
) -> Familiarity | None:
    """Compare what comes into the batch normalisations with their running statistics.

    The yardstick is uniform noise, which no encoder is trained on and which every encoder can be
    shown. Images of the training are not at distance 0, since the running statistics are those of
    augmented images. A distance below the limit proves nothing.

    Args:
        encoder: is left as it is.
        images: at the size that the encoder expects.
        trainer: where features are computed.

    Returns:
        None if the encoder has no batch normalisation that has seen anything.

    Raises:
        InputError: there are no images, or the encoder puts out NaN.
    """
    norms = _trained_norms(encoder)
    found = input_moments(encoder, images, trainer) if norms else {}
    norms = {name: norm for name, norm in norms.items() if name in found}
    if not norms:
        return None
    noise = input_moments(encoder, _noise(images.size), trainer)
    return Familiarity(
        distance=_mean_distance(found, norms),
        noise_distance=_mean_distance(noise, norms),
        layers=len(norms),
        images=len(images),
    )


def squared_hellinger(one: Moments, other: Moments) -> Tensor:
    """Squared Hellinger distance between normal distributions, in [0, 1], shape (channels,)."""
    variances = one.variance + other.variance
    overlap = (2 * (one.variance * other.variance).sqrt() / variances).sqrt()
    return 1 - overlap * (-((one.mean - other.mean) ** 2) / (4 * variances)).exp()


def _trained_norms(encoder: Encoder) -> dict[str, nn.BatchNorm2d]:
    """Batch normalisations by name; fresh ones, and ones without statistics, are left out."""
    if not any(isinstance(m, BATCH_NORMS) and m.affine for m in encoder.backbone.modules()):
        return {}
    return {name: norm for name, norm in batch_norms(encoder).items() if _has_seen_images(norm)}


def _has_seen_images(norm: nn.BatchNorm2d) -> bool:
    if norm.running_mean is None or norm.running_var is None:
        return False
    return bool(norm.running_mean.any() or (norm.running_var != 1).any())


def _mean_distance(found: dict[str, Moments], norms: dict[str, nn.BatchNorm2d]) -> float:
    return torch.cat([_distances(found[name], norms[name]) for name in norms]).mean().item()


def _distances(seen: Moments, norm: nn.BatchNorm2d) -> Tensor:
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    running = Moments(count=1, mean=mean.cpu().double(), variance=variance.cpu().double())
    # As the normalisation does it: a channel that is always zero is not infinitely far away.
    return squared_hellinger(
        *(replace(one, variance=one.variance + norm.eps) for one in (seen, running))
    )


def _noise(size: Size) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    shape = (_NOISE_IMAGES, 3, *size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return ImageSet.from_tensor(pixels, name="noise")
