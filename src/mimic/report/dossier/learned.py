"""Sections about features and training: the plane of features, information by stage, changes,
losses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mimic.report.dossier.facts import Dossier, FeatureMap
from mimic.report.dossier.pictured import changed_gallery
from mimic.report.dossier.words import deviations, tidy
from mimic.report.figures import (
    COLOURS,
    Cloud,
    Point,
    cloud_chart,
    localization_chart,
    loss_chart,
    percent,
)
from mimic.report.page import Cell, Figure, Row, Section, Table

_MARGIN = 0.06
_TRIGGER = "with the trigger"
_SEEN_PAST = (
    "The student saw some views under changes that make the suspicious encoder forget what the "
    "image shows, and had to answer as if they were not there."
)
_GUIDED = (
    " Half of these views go to the kinds of change that do more to this encoder than to clean "
    "ones. Every second patch was searched where the smallest mask lies under which all images "
    "look alike."
)


def feature_section(dossier: Dossier) -> Section | None:
    """Where the encoders put images, with the trigger and without."""
    if not dossier.features:
        return None
    shared = [found for found in dossier.features if found.shared]
    limits = _limits(shared)
    return Section(
        heading="What the encoders see" if len(dossier.features) > 1 else "What the encoder sees",
        paragraphs=(_feature_words(dossier),),
        figures=tuple(
            Figure(
                svg=cloud_chart(
                    _clouds(found),
                    description=_described(found),
                    name=f"features-{found.role}",
                    limits=limits if found.shared else None,
                ),
                caption=_caption(found, alone=len(dossier.features) == 1),
            )
            for found in dossier.features
        ),
    )


def _feature_words(dossier: Dossier) -> str:
    words = (
        "Each point is an image, in the plane of the two directions along which the features of "
    )
    words += (
        "this encoder differ most. "
        if len(dossier.features) == 1
        else ("the encoder before purification differ most. ")
    )
    if dossier.shown_trigger is None:
        return words
    return (
        f"{words}The trigger is {tidy(dossier.shown_trigger)}. Where images with it gather in one "
        "spot, the encoder no longer sees what is on them; where they spread like the clean ones, "
        "it does."
    )


def _caption(found: FeatureMap, *, alone: bool) -> str:
    shown = f"The plane shows {percent(found.explained)} of the variance."
    if alone:
        return shown
    own = "" if found.shared else " Its features have another length, so the plane is its own."
    return f"{'Before' if found.role == 'before' else 'After'} purification. {shown}{own}"


def _described(found: FeatureMap) -> str:
    return (
        f"Features {found.role} purification in the plane of two principal components: "
        f"{len(found.clean)} clean images and {len(found.triggered)} {_TRIGGER}."
    )


def _clouds(found: FeatureMap) -> list[Cloud]:
    clean = Cloud(name="clean", points=found.clean, colour=COLOURS["clean"], marker="o")
    if not found.triggered:
        return [clean]
    orange = COLOURS["suspicious"]
    return [clean, Cloud(name=_TRIGGER, points=found.triggered, colour=orange, marker="x")]


def _limits(found: Sequence[FeatureMap]) -> tuple[Point, Point]:
    """Ends of both axes that hold every point, with a margin."""
    points = [point for one in found for point in (*one.clean, *one.triggered)]
    ends = []
    for values in zip(*points, strict=True):
        margin = _MARGIN * (max(values) - min(values)) or 1.0
        ends.append((min(values) - margin, max(values) + margin))
    return ends[0], ends[1]


def information_section(dossier: Dossier) -> Section | None:
    """Mutual information by stage, and the weights that follow."""
    found = dossier.localization
    if found is None:
        return None
    return Section(
        heading="Where benign knowledge lies",
        paragraphs=(
            "How much of the suspicious encoder's feature a critic finds in each stage, measured "
            f"on {found['images']} clean images. The shares weigh the stages when the student "
            "copies them.",
        ),
        figures=(
            Figure(
                svg=localization_chart(found, name="information"),
                caption=f"Estimator: {found['estimator']}. Lines show one standard error.",
            ),
        ),
    )


def changes_section(dossier: Dossier) -> Section | None:
    """What the student had to see past, and how often."""
    if not dossier.changes:
        return None
    words = _SEEN_PAST
    if any(change["deviation"] is not None for change in dossier.changes):
        words += _GUIDED
    return Section(
        heading="What the copy learned to see past",
        paragraphs=(words,),
        table=Table(
            caption="Standard deviations are those among clean encoders; up to 2 are usual.",
            columns=("Kind", "Share of the views", "Beyond clean encoders", "The best one"),
            rows=tuple(_change_row(change) for change in dossier.changes),
        ),
        gallery=changed_gallery(dossier),
    )


def _change_row(change: Mapping[str, Any]) -> Row:
    beyond, known = change["deviation"], change["description"]
    values = (
        percent(change["share"]),
        "not measured" if beyond is None else deviations(beyond, "+"),
        "" if known is None else str(known),
    )
    return Row(name=str(change["kind"]), cells=tuple(Cell(value=value) for value in values))


def loss_section(dossier: Dossier) -> Section | None:
    """Curves of the training."""
    if not dossier.losses:
        return None
    epochs = len(next(iter(dossier.losses.values())))
    return Section(
        heading="The training",
        figures=(
            Figure(
                svg=loss_chart(dossier.losses, name="loss"),
                caption=f"Terms of the loss over {epochs} epochs, with their weights.",
            ),
        ),
    )
