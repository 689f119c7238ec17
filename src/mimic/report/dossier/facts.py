"""Facts of a report: plain values and small pictures, computed once, and drawn from afterwards.

Pictures are data URIs. Roles name the encoders: "before" is the suspicious one, or the one that was
scanned; "after" is the purified one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FORMAT = 1
Kind = Literal["scan", "verification", "purification"]
Role = Literal["before", "after"]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An encoder that the report is about.

    Attributes:
        role: which one.
        name: its file or how the user calls it.
        sha256: of the file, or None.
        architecture: a spelling of mimic, or None.
        image_size: height and width in pixels, or None where any will do.
        dimension: length of its features.
        parameters: how many numbers it has learned.
    """

    role: Role
    name: str
    sha256: str | None
    architecture: str | None
    image_size: int | None
    dimension: int
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image, the same with a trigger, and the difference on grey, amplified."""

    clean: str
    triggered: str
    difference: str
    amplified: float


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """The best inverted trigger of a family, with its numbers as a scan tells them.

    Attributes:
        found: one of "triggers" of `Scan.as_dict`.
        examples: what it looks like.
    """

    found: Mapping[str, Any]
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """Where an encoder puts images, in the plane of two principal components.

    Attributes:
        role: of the encoder.
        clean: coordinates of clean images.
        triggered: of the same images with the inverted trigger; none where there is no trigger.
        explained: share of the variance of the features that the plane shows, in [0, 1].
        shared: whether the plane is that of the encoder before purification.
    """

    role: Role
    clean: Points
    triggered: Points
    explained: float
    shared: bool


@dataclass(frozen=True, kw_only=True)
class AttentionRow:
    """Attention of each stage of an encoder to one image, as pictures."""

    role: Role
    maps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AttentionImage:
    """An image, with the trigger or without, and how each encoder looks at it."""

    picture: str
    triggered: bool
    rows: tuple[AttentionRow, ...]


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Where encoders look.

    Attributes:
        stages: names, in the order of execution.
        images: some, one after the other.
        agreement: by stage, mean cosine between the maps of both encoders, in [0, 1]; empty where
            there is one encoder.
    """

    stages: tuple[str, ...]
    images: tuple[AttentionImage, ...]
    agreement: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NeighbourRow:
    """The clean images that are nearest to one image.

    Attributes:
        role: of the encoder that is asked.
        triggered: whether the image carries the inverted trigger.
        positions: of the neighbours among the images that were looked at, the nearest first.
        pictures: of the neighbours.
        same: which of them are neighbours of the clean image before purification as well.
    """

    role: Role
    triggered: bool
    positions: tuple[int, ...]
    pictures: tuple[str, ...]
    same: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class Query:
    """An image whose neighbours are asked for."""

    position: int
    picture: str
    rows: tuple[NeighbourRow, ...]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Nearest neighbours of a few images.

    Attributes:
        queries: the images.
        kept: by role, mean share of an image's neighbours that stay with the trigger on it.
        images: how many images the neighbours are chosen from.
    """

    queries: tuple[Query, ...]
    kept: Mapping[Role, float]
    images: int


@dataclass(frozen=True, kw_only=True)
class Changed:
    """An image under the changes that the student had to see past.

    Attributes:
        picture: the image as it is.
        rows: by kind, the same under the best changes that were found, best first.
    """

    picture: str
    rows: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """All that a report says or shows; what was not measured is None or empty.

    Attributes:
        kind: what the report is about.
        subjects: the encoders, "before" first.
        scan: of the encoder before, as `Scan.as_dict` tells it.
        verification: as `Verification.as_dict` tells it.
        clean_scores: of the encoders without a backdoor that scans are compared with.
        triggers: found on the encoder before.
        new_triggers: found on the encoder after, if its scan has a finding.
        shown_trigger: in words, the one that features, attention and neighbours are shown with.
        features: one for each encoder.
        attention: where the encoders look.
        neighbours: of a few images.
        localization: as `Localization.as_dict` tells it.
        changes: what the student had to see past, as `Change.as_dict` tells it.
        changed: what these changes look like.
        losses: of each epoch, by term.
        purification: what was done: method, settings, number of images, time.
        settings: of the command, plain values.
        images: name and number of the images that this report looked at.
        seed: of the command.
        versions: of mimic, torch and Python.
        machine: device, precision and threads.
        command: what makes the same report again.
    """

    kind: Kind
    subjects: tuple[Subject, ...]
    settings: Mapping[str, Any]
    images: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    command: str
    scan: Mapping[str, Any] | None = None
    verification: Mapping[str, Any] | None = None
    clean_scores: tuple[float, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    new_triggers: tuple[Trigger, ...] = ()
    shown_trigger: str | None = None
    features: tuple[FeatureMap, ...] = ()
    attention: Attention | None = None
    neighbours: Neighbours | None = None
    localization: Mapping[str, Any] | None = None
    changes: tuple[Mapping[str, Any], ...] = ()
    changed: Changed | None = None
    losses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    purification: Mapping[str, Any] | None = None

    def subject(self, role: Role) -> Subject:
        """The encoder of that role."""
        return next(subject for subject in self.subjects if subject.role == role)

    @property
    def roles(self) -> tuple[Role, ...]:
        """Of the encoders, "before" first."""
        return tuple(subject.role for subject in self.subjects)


def finite(value: Any) -> Any:
    """The same with lists for tuples, and None for numbers that JSON cannot say."""
    if isinstance(value, Mapping):
        return {str(name): finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
