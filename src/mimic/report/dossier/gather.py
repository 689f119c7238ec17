"""Gather: from encoders, images and what was found about them to the facts of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mimic.defenses.base import Purification
from mimic.defenses.changes import Change
from mimic.detection.doors import Doors, stamps_of
from mimic.detection.scan import Scan
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import Stamp, stamp_batch
from mimic.images.imageset import ImageSet
from mimic.provenance import machine, versions
from mimic.report.dossier.attention import agreement, attention, attention_maps
from mimic.report.dossier.facts import (
    Attention,
    Changed,
    Dossier,
    Kind,
    Neighbours,
    Role,
    Subject,
    Trigger,
)
from mimic.report.dossier.neighbours import neighbours
from mimic.report.dossier.triggers import examples
from mimic.report.dossier.views import View, feature_maps, view
from mimic.report.pictures import data_uri, thumbnail
from mimic.text import printable
from mimic.training import Trainer
from mimic.verification.verify import Verification

_IMAGES = 256
"""Images that a report looks at: enough to see where features lie, quick enough for a CPU."""
_SHOWN = 2
_SHOWN_CHANGES = 6
_AGREED_ON = 32
_MOST = 96
"""Pixels of the longer side of small pictures."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """How a report came about.

    Attributes:
        command: what makes the same report again, as one types it.
        seed: of the command.
        trainer: the environment; only its device and precision are used.
        settings: of the command, plain values.
        files: name and SHA-256 of the file of an encoder, where they are other ones than those it
            was loaded from.
    """

    command: str
    seed: int
    trainer: Trainer
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[Role, tuple[str, str | None]] = field(default_factory=dict)


def gather(
    kind: Kind,
    encoders: Mapping[Role, Encoder],
    images: ImageSet,
    *,
    context: Context,
    scan: Scan | None = None,
    verification: Verification | None = None,
    purification: Purification | None = None,
) -> Dossier:
    """Everything that a report says or shows.

    Args:
        kind: what the report is about.
        encoders: "before", and "after" where there is one; left as they are.
        images: clean ones, two or more, of which a random 256 are looked at.
        context: how the report came about.
        scan: of the encoder before; by default that of the verification.
        verification: of the encoder after.
        purification: how the encoder after came about.

    Raises:
        InputError: there are fewer than two images, or they do not fit an encoder.
    """
    if len(images) < 2:
        raise InputError(f"a report shows 2 images or more, and '{images.name}' holds one")
    some = images.sample(count=min(_IMAGES, len(images)), seed=context.seed).unlabelled()
    trainer = replace(context.trainer, folder=None, resume=False, progress=False)
    found = verification.scan_before if scan is None and verification is not None else scan
    best = None if found is None else best_doors(found)
    stamp = None if best is None else best.stamps[0]
    views = [
        view(role, encoder, some, stamp, trainer=trainer) for role, encoder in encoders.items()
    ]
    return Dossier(
        kind=kind,
        subjects=tuple(_subject(role, one, views, context) for role, one in encoders.items()),
        settings=context.settings,
        images={"name": images.name, "given": len(images), "looked_at": len(some)},
        seed=context.seed,
        versions=versions(),
        machine=machine(trainer),
        command=context.command,
        scan=None if found is None else found.as_dict(),
        verification=None if verification is None else verification.as_dict(),
        clean_scores=() if found is None else found.clean_scores,
        triggers=() if found is None else _triggers(found, some),
        new_triggers=_new_triggers(verification, some),
        shown_trigger=None if best is None else best.description,
        features=feature_maps(views),
        attention=_attention(encoders, some, stamp),
        neighbours=_neighbours(views, some),
        localization=_localization(purification),
        changes=() if purification is None else tuple(c.as_dict() for c in purification.changes),
        changed=None if purification is None else _changed(purification.changes, some),
        losses={} if purification is None else purification.history.curves(),
        purification=None if purification is None else _purification(purification),
    )


def best_doors(found: Scan) -> Doors:
    """The family whose trigger is least like those of clean encoders; of equals the one that gains
    most.
    """
    return min(found.doors, key=lambda doors: (found.p_values[doors.family], -doors.gain))


def _triggers(found: Scan, images: ImageSet) -> tuple[Trigger, ...]:
    told = {trigger["family"]: trigger for trigger in found.as_dict()["triggers"]}
    shown = images.batch(torch.arange(_SHOWN))
    return tuple(
        Trigger(found=told[doors.family], examples=examples(doors.stamps[0], shown))
        for doors in found.doors
    )


def _new_triggers(verification: Verification | None, images: ImageSet) -> tuple[Trigger, ...]:
    """Of the new encoder's scan, where it has a finding."""
    if verification is None or verification.scan_after.verdict == "clean":
        return ()
    return _triggers(verification.scan_after, images)


def _attention(
    encoders: Mapping[Role, Encoder], images: ImageSet, stamp: Stamp | None
) -> Attention | None:
    clean = images.batch(torch.arange(min(_AGREED_ON, len(images))))
    shown, triggered = clean[:_SHOWN], [False] * _SHOWN
    if stamp is not None:
        # an image and the same one with the trigger stand one below the other
        shown = torch.stack([shown, stamp_batch(stamp, shown)], dim=1).flatten(0, 1)
        triggered = [False, True] * _SHOWN
    found = {role: attention_maps(encoder, shown) for role, encoder in encoders.items()}
    agreed: dict[str, float] = {}
    if len(encoders) == 2:
        agreed = agreement(*(attention_maps(encoder, clean) for encoder in encoders.values()))
    return attention(found, shown, triggered, agreement=agreed)


def _neighbours(views: list[View], images: ImageSet) -> Neighbours:
    @cache
    def picture(position: int) -> str:
        return _picture(images.batch(torch.tensor([position]))[0])

    return neighbours(views, picture)


def _subject(role: Role, encoder: Encoder, views: list[View], context: Context) -> Subject:
    origin = encoder.origin
    name, digest = (None, None) if origin is None else (origin.path, origin.sha256)
    name, digest = context.files.get(role, (name, digest))
    return Subject(
        role=role,
        name=printable(name or encoder.architecture or "an encoder in memory"),
        sha256=digest,
        architecture=encoder.architecture,
        image_size=encoder.image_size,
        dimension=next(seen.clean.shape[1] for seen in views if seen.role == role),
        parameters=sum(parameter.numel() for parameter in encoder.backbone.parameters()),
    )


def _changed(changes: Sequence[Change], images: ImageSet) -> Changed | None:
    if not changes:
        return None
    image = images.batch(torch.arange(1))

    def pictures(change: Change) -> tuple[str, ...]:
        best = change.found[torch.arange(min(_SHOWN_CHANGES, len(change.found)))]
        return tuple(_picture(stamp_batch(stamp, image)[0]) for stamp in stamps_of(best))

    rows = {change.kind: pictures(change) for change in changes}
    return Changed(picture=_picture(image[0]), rows=rows)


def _picture(image: Tensor) -> str:
    return data_uri(thumbnail(image, most=_MOST))


def _localization(purification: Purification | None) -> Mapping[str, Any] | None:
    if purification is None or purification.localization is None:
        return None
    return purification.localization.as_dict()


def _purification(done: Purification) -> dict[str, Any]:
    history = done.history
    return {
        "epochs": len(history.epochs),
        "steps": history.steps,
        "seconds": history.seconds,
        "images_per_second": history.images_per_second,
    }
