"""What one encoder makes of the images of a report: features with and without the trigger."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import Stamp, extract_features
from mimic.evaluation.plane import principal_plane
from mimic.images.imageset import ImageSet
from mimic.report.dossier.facts import FeatureMap, Points, Role
from mimic.training import Trainer

_POINTS = 160
"""More of them in a figure hide each other."""
_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class View:
    """Features of the same images, of length 1.

    Attributes:
        role: of the encoder.
        clean: shape (n, dimension).
        triggered: of the images with the trigger, likewise; None where there is no trigger.
    """

    role: Role
    clean: Tensor
    triggered: Tensor | None


def view(
    role: Role, encoder: Encoder, images: ImageSet, trigger: Stamp | None, *, trainer: Trainer
) -> View:
    """Look at all images through an encoder.

    Raises:
        InputError: as `extract_features` does.
    """
    stamped = None
    if trigger is not None:
        stamped = extract_features(encoder, images, trigger=trigger, trainer=trainer)
    clean = extract_features(encoder, images, trainer=trainer)
    return View(role=role, clean=clean, triggered=stamped)


def feature_maps(views: Sequence[View]) -> tuple[FeatureMap, ...]:
    """Where the encoders put the images, in the plane of the first encoder.

    An encoder whose features have another length gets a plane of its own.

    Args:
        views: of the same images; features of one number have no plane, and give no maps.
    """
    if min(seen.clean.shape[1] for seen in views) < 2:
        return ()
    return tuple(_feature_map(seen, views[0]) for seen in views)


def _feature_map(seen: View, first: View) -> FeatureMap:
    shared = seen.clean.shape == first.clean.shape
    everything = _everything(seen)
    plane = principal_plane(_everything(first) if shared else everything)
    triggered = seen.clean[:0] if seen.triggered is None else seen.triggered
    return FeatureMap(
        role=seen.role,
        clean=_points(plane.coordinates(seen.clean[:_POINTS])),
        triggered=_points(plane.coordinates(triggered[:_POINTS])),
        explained=plane.explained(everything),
        shared=shared,
    )


def _everything(seen: View) -> Tensor:
    return seen.clean if seen.triggered is None else torch.cat([seen.clean, seen.triggered])


def _points(coordinates: Tensor) -> Points:
    return tuple((round(x, _DIGITS), round(y, _DIGITS)) for x, y in coordinates.tolist())
