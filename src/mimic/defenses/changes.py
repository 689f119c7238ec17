"""Changes: what the student has to see past, and how many of its views each kind gets.

A kind of change that a backdoor answers to takes more away than it does on clean encoders. So half
of the views that are set aside for changes are shared out anew: by the share that each kind was
given, times four for each standard deviation by which its gain is farther from that of clean
encoders than theirs are from each other, as a scan measures them. Where no kind stands out the
shares stay as they are; where one does, it gets nearly all of that half.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from mimic.detection.by_gradient import place_of, smallest_mask
from mimic.detection.calibration import shipped_calibration
from mimic.detection.doors import KEPT, Doors
from mimic.detection.families import judged_colours, judged_patches, judged_waves
from mimic.detection.patches import Patches
from mimic.detection.search import (
    Found,
    Population,
    search_colours,
    search_patches,
    search_waves,
)
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

_JUDGES: dict[str, Callable[..., Doors]] = {
    "patch": judged_patches,
    "colour": judged_colours,
    "wave": judged_waves,
}
_SHARED = 0.5
"""Share of the views under changes that goes where it is needed most."""
_MASK_IMAGES = 640
"""How many images a mask is looked for with, as in a scan."""
_USUAL = 2.0
"""Standard deviations by which clean encoders exceed their mean now and then."""
_RATE = math.log(4)
"""Of the exponential in the standard deviations beyond."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One kind of change, as a search found it on the suspicious encoder.

    Attributes:
        kind: "patch", "colour" or "wave".
        found: the best candidates, best first.
        share: of the views that the student sees under one of them, in [0, 1].
        gain: by how much the best exceeds what is natural, as `Doors.gain`; None where it was
            not asked for.
        deviation: by how many standard deviations of clean encoders its logarithm exceeds theirs;
            likewise.
        description: of the best one, in words.
    """

    kind: str
    found: Population
    share: float
    gain: float | None = None
    deviation: float | None = None
    description: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the candidates."""
        return {
            "kind": self.kind,
            "share": self.share,
            "gain": self.gain,
            "deviation": self.deviation,
            "description": self.description,
        }


def find_changes(
    suspect: Encoder,
    images: ImageSet,
    shares: Mapping[str, float],
    *,
    by_gain: bool,
    seed: int,
    trainer: Trainer,
) -> tuple[Change, ...]:
    """Search for the changes under which an encoder forgets what the image shows.

    Args:
        suspect: what is searched; left as it is.
        images: clean images.
        shares: of the views, by kind, in [0, 1]; 0 searches for none.
        by_gain: share half of the views out anew, see `shared_out`, and look for half of the
            patches where the smallest mask lies.
        seed: of the searches.
        trainer: the environment.
    """
    wanted = {kind: share for kind, share in shares.items() if share > 0}
    searches: dict[str, Callable[..., Found[Any]]] = {
        "patch": search_patches,
        "colour": search_colours,
        "wave": search_waves,
    }
    found = {
        kind: searches[kind](suspect, images, seed=seed, trainer=trainer).candidates
        for kind in wanted
    }
    if not by_gain:
        return tuple(Change(kind=k, found=found[k], share=share) for k, share in wanted.items())
    doors = {
        kind: _JUDGES[kind](
            some[torch.arange(min(KEPT, len(some)))], suspect, images, seed=seed, trainer=trainer
        )
        for kind, some in found.items()
    }
    gains = {kind: one.gain for kind, one in doors.items()}
    if "patch" in found:
        there = _patches_where_the_mask_lies(suspect, images, seed=seed, trainer=trainer)
        found["patch"] = _alternating(found["patch"], there)
    deviations = shipped_calibration().deviations(gains)
    return tuple(
        Change(
            kind=kind,
            found=found[kind],
            share=share,
            gain=gains[kind],
            deviation=deviations[kind],
            description=doors[kind].description,
        )
        for kind, share in shared_out(wanted, deviations).items()
    )


def _patches_where_the_mask_lies(
    suspect: Encoder, images: ImageSet, *, seed: int, trainer: Trainer
) -> Patches:
    """Patches at the place where the smallest mask makes all images look alike.

    Some encoders yield so much to patches over the middle of the image that a search settles for
    these. The smallest mask then still lies on the trigger, but has little else in common with it:
    moved by a pixel it does nothing.
    """
    some = images.sample(count=min(len(images), _MASK_IMAGES), seed=seed)
    alone = replace(trainer, folder=None, resume=False, accumulate=1)
    mask = smallest_mask(suspect, some, seed=seed, trainer=alone, name="search mask").triggers.masks
    around = place_of(mask[0])
    return search_patches(suspect, images, around=around, seed=seed, trainer=trainer).candidates


def _alternating(first: Patches, second: Patches) -> Patches:
    """The better half of both, by turns."""
    half = min(len(first), len(second)) // 2
    both = first[torch.arange(half)].joined(second[torch.arange(half)])
    return both[torch.arange(2 * half).view(2, half).T.flatten()]


def shared_out(shares: Mapping[str, float], deviations: Mapping[str, float]) -> dict[str, float]:
    """Half of each share, and the other halves for the kinds that stand out.

    Args:
        shares: of the views, by kind, in [0, 1].
        deviations: by how many standard deviations each kind exceeds the mean of clean encoders; up
            to two count as none.

    Returns:
        Shares by kind, with the same sum.
    """
    beyond = {kind: max(deviation - _USUAL, 0) for kind, deviation in deviations.items()}
    most = max(beyond.values(), default=0.0)
    weights = {k: share * math.exp(_RATE * (beyond[k] - most)) for k, share in shares.items()}
    free, total = _SHARED * sum(shares.values()), sum(weights.values())
    return {k: (1 - _SHARED) * share + free * weights[k] / total for k, share in shares.items()}
