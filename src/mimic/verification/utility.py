"""Utility kept: how much of what the old encoder knows about clean images the new one still knows.

Four numbers without labels, each with an interval and a yardstick: what the old encoder itself
gives when one side sees a random view of each image. Nothing here says that a backdoor is gone; a
perfect copy keeps everything, the backdoor as well.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import Stamp, extract_features
from mimic.evaluation.similarity import paired_cosine
from mimic.images.augment import Augmentation
from mimic.images.decode import fit
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.training import Trainer
from mimic.training.randomness import seeded
from mimic.verification.intervals import LEAST_IMAGES, jackknife_interval
from mimic.verification.metrics import effective_rank, linear_cka, mutual_neighbours

Comparison = Callable[[Tensor, Tensor], float]
"""Takes features of the same images, (n, dimension) and (n, another dimension)."""

_MIN_SCALE = 0.2
"""Smallest share of an image that a view shows, as in the trainings of most defences."""
_NEIGHBOURS = 0.01
"""Share of the images that are the neighbours of one."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One number about the new encoder against the old one.

    Attributes:
        value: 1 where nothing has changed.
        ci95: 95 % interval of it, low and high; see `jackknife_interval`.
        yardstick: the same number for the old encoder on the images and on random views of them.
    """

    value: float
    ci95: tuple[float, float]
    yardstick: float


@dataclass(frozen=True, kw_only=True)
class Utility:
    """What the new encoder keeps of the old one, on clean images.

    Attributes:
        cka: unbiased linear CKA, at most 1.
        mutual_neighbours: share of the nearest neighbours that are the same, in [0, 1]; the nearest
            hundredth of the images are its neighbours, so that the share does not depend on how
            many images there are.
        effective_rank: RankMe of the new features as a share of that of the old ones, 0 or more;
            above 1 the new ones spread in more directions.
        effective_rank_before, effective_rank_after: the two values behind the share, 0 to the
            length of the features.
        cosine: mean cosine between the features of an image, in [-1, 1]; None where the features
            have different lengths.
        n: images.
        seconds: spent on all of it.
    """

    cka: Kept
    mutual_neighbours: Kept
    effective_rank: Kept
    effective_rank_before: float
    effective_rank_after: float
    cosine: Kept | None
    n: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON knows them: intervals as lists."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def measure_utility(
    before: Encoder,
    after: Encoder,
    images: ImageSet,
    *,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Utility:
    """Compare the features that two encoders give to the same clean images.

    Features are scaled to length 1, as all heads of mimic get them. Neither encoder is changed.
    Where an encoder expects another size than the images have, it sees them scaled to cover that
    size, with the centre cut out, as `open_images` does it.

    Args:
        before: the old encoder.
        after: the new one; its features may have another length.
        images: clean images that the new encoder was not trained on, 40 or more; the numbers depend
            on how many there are. Labels are ignored.
        seed: of the views and of the groups behind the intervals.
        trainer: the environment; None picks the best device of this machine.

    Raises:
        InputError: there are fewer than 40 images, an encoder puts out NaN or infinity, or the old
            one puts out zeros alone for more than half of the images.
    """
    started = time.monotonic()
    _check_count(images)
    trainer = trainer or Trainer()
    seen = _as_expected(images, before)
    old = _features(before, seen, trainer)
    _check_alive(old)
    new = _features(after, _as_expected(images, after), trainer)
    with seeded(seed):
        viewed = _features(before, seen, trainer, _random_view(seen.size))
    sides = _Sides(old, new, viewed, seed)
    neighbours = partial(mutual_neighbours, k=max(1, round(_NEIGHBOURS * len(images))))
    return Utility(
        cka=sides.compared(linear_cka, (-1, 1)),
        mutual_neighbours=sides.compared(neighbours, (0, 1)),
        effective_rank=sides.compared(_rank_kept, (0, math.inf)),
        effective_rank_before=effective_rank(old),
        effective_rank_after=effective_rank(new),
        cosine=sides.compared(paired_cosine, (-1, 1)) if old.shape == new.shape else None,
        n=len(images),
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Sides:
    """Features of the old and the new encoder, and of the old one on random views."""

    old: Tensor
    new: Tensor
    viewed: Tensor
    seed: int

    def compared(self, compare: Comparison, bounds: tuple[float, float]) -> Kept:
        value, low, high = jackknife_interval(
            lambda chosen: compare(self.old[chosen], self.new[chosen]),
            len(self.old),
            bounds=bounds,
            seed=self.seed,
        )
        return Kept(value=value, ci95=(low, high), yardstick=compare(self.old, self.viewed))


def _check_count(images: ImageSet) -> None:
    if len(images) < LEAST_IMAGES:
        raise InputError(
            f"comparing two encoders takes at least {LEAST_IMAGES} images, and '{images.name}' "
            f"holds {len(images)}; give more"
        )


def _check_alive(features: Tensor) -> None:
    # half of them, so that something is left whichever group the jackknife leaves out
    dead = int((features == 0).all(dim=1).sum())
    if 2 * dead > len(features):
        raise InputError(
            f"the old encoder puts out nothing but zeros for {dead} of {len(features)} images, so "
            "that there is little to keep; check its weights and its normalisation"
        )


def _rank_kept(old: Tensor, new: Tensor) -> float:
    return effective_rank(new) / effective_rank(old)


def _features(
    encoder: Encoder, images: ImageSet, trainer: Trainer, view: Stamp | None = None
) -> Tensor:
    """Features in float64, of length 1 to the last digit."""
    features = extract_features(encoder, images, trigger=view, trainer=trainer)
    return F.normalize(features.double(), dim=1)


def _random_view(size: tuple[int, int]) -> Stamp:
    augment = Augmentation(size, min_scale=_MIN_SCALE)
    return lambda batch: augment(to_unit_range(batch))


def _as_expected(images: ImageSet, encoder: Encoder) -> ImageSet:
    """The images at the size that the encoder expects."""
    size = images.size if encoder.image_size is None else (encoder.image_size,) * 2
    if size == images.size:
        return images

    def read(chosen: Sequence[int]) -> Tensor:
        pictures = images.read(chosen).permute(0, 2, 3, 1).numpy()
        fitted = [fit(Image.fromarray(np.ascontiguousarray(p)), size) for p in pictures]
        return torch.from_numpy(np.stack(fitted))

    return replace(images, read=read, size=size)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value
