"""Sections that show pictures: inverted triggers, attention maps, nearest neighbours."""

from collections.abc import Mapping
from typing import Any

from mimic.report.dossier.facts import (
    Attention,
    Dossier,
    Example,
    NeighbourRow,
    Neighbours,
    Query,
    Trigger,
)
from mimic.report.dossier.words import beyond, sentence, tidy
from mimic.report.figures import percent
from mimic.report.finding import effect_of
from mimic.report.page import Card, Gallery, Picture, PictureGroup, PictureRow, Section


def trigger_section(dossier: Dossier) -> Section | None:
    """The inverted triggers on images, and what they do to the features of the encoders."""
    if not dossier.triggers:
        return None
    doors = [] if dossier.verification is None else dossier.verification["old_doors"]
    by_family = {door["family"]: door for door in doors}
    return Section(
        heading="The triggers that were found",
        paragraphs=(
            "Under its trigger a backdoored encoder forgets what an image shows, or puts images "
            "where none without it lies. For each kind of trigger the scan searched for the one "
            "that takes away most of what tells images apart; a mask is the smallest one under "
            "which all images look alike, and a mark is the patch that moves them farthest. Any "
            "encoder yields a little; the p-value says how unusual it is.",
        ),
        cards=tuple(_card(one, by_family.get(one.found["family"])) for one in dossier.triggers),
    )


def new_trigger_section(dossier: Dossier) -> Section | None:
    """Triggers that were found on the purified encoder."""
    if not dossier.new_triggers:
        return None
    return Section(
        heading="Triggers that were found on the purified encoder",
        paragraphs=("The same search on the new encoder has a finding as well.",),
        cards=tuple(_card(one, None) for one in dossier.new_triggers),
    )


def _card(trigger: Trigger, door: Mapping[str, Any] | None) -> Card:
    found = trigger.found
    text = (
        f"p = {found['p_value']:.3f}. {sentence(effect_of(found))}. The mean cosine of the "
        f"features of different images goes from {found['cosine_before']:.2f} to "
        f"{found['cosine_after']:.2f}."
    )
    if door is not None:
        text += (
            f" On images that the search did not see: {beyond(door, door['before'])} before "
            f"purification, {beyond(door, door['after'])} after."
        )
    pictures = (
        picture
        for number, example in enumerate(trigger.examples, start=1)
        for picture in _pictures(found["description"], number, example)
    )
    return Card(heading=sentence(found["description"]), text=text, pictures=tuple(pictures))


def _pictures(name: str, number: int, example: Example) -> tuple[Picture, ...]:
    times = f" ×{example.amplified:.1f}" if example.amplified > 1 else ""
    return (
        Picture(source=example.clean, alt=f"Image {number}, clean.", caption="clean"),
        Picture(
            source=example.triggered,
            alt=f"Image {number} with the trigger, {name}.",
            caption="with it",
        ),
        Picture(
            source=example.difference,
            alt=f"What the trigger changes in image {number}, on grey{times}.",
            caption=f"change{times}",
        ),
    )


def attention_section(dossier: Dossier) -> Section | None:
    """Where the stages look."""
    if dossier.attention is None:
        return None
    return Section(
        heading="Where the stages look",
        paragraphs=tuple(_attention_words(dossier.attention, dossier.shown_trigger)),
        gallery=Gallery(
            caption="Attention of each stage, from dark blue (none) to yellow (most); maps of the "
            "same image and stage share a scale.",
            lead="image",
            columns=dossier.attention.stages,
            groups=tuple(_attention_groups(dossier.attention, alone=len(dossier.roles) == 1)),
        ),
    )


def _attention_words(found: Attention, trigger: str | None) -> list[str]:
    words = [
        "The attention of a stage is the energy of its channels at each place of the image. "
        + (
            f"The second and the last image carry the trigger ({tidy(trigger)})."
            if trigger is not None
            else ""
        )
    ]
    if found.agreement:
        agreed = ", ".join(f"{name} {value:.2f}" for name, value in found.agreement.items())
        words.append(f"Mean cosine between the maps of clean images before and after: {agreed}.")
    return words


def _attention_groups(found: Attention, *, alone: bool) -> list[PictureGroup]:
    groups = []
    for number, image in enumerate(found.images, start=1):
        kind = "with the trigger" if image.triggered else "clean"
        rows = tuple(
            PictureRow(
                name=("with it" if image.triggered else "clean") if alone else row.role,
                pictures=tuple(
                    Picture(
                        source=source,
                        alt=f"Attention of {stage} to image {number}, {kind}"
                        + ("." if alone else f", {row.role} purification."),
                    )
                    for stage, source in zip(found.stages, row.maps, strict=True)
                ),
            )
            for row in image.rows
        )
        lead = Picture(source=image.picture, alt=f"Image {number}, {kind}.")
        groups.append(PictureGroup(lead=lead, rows=rows))
    return groups


def neighbour_section(dossier: Dossier) -> Section | None:
    """Nearest neighbours of a few images."""
    found = dossier.neighbours
    if found is None:
        return None
    alone = len(dossier.roles) == 1
    return Section(
        heading="Nearest neighbours",
        paragraphs=(_neighbour_words(found, alone=alone),),
        gallery=Gallery(
            caption=f"Nearest first, among {found.images} clean images. Framed: neighbours of the "
            + ("clean image." if alone else "clean image before purification."),
            lead="image",
            columns=tuple(str(n + 1) for n in range(len(found.queries[0].rows[0].positions))),
            groups=tuple(_query(query, n, alone=alone) for n, query in enumerate(found.queries, 1)),
        ),
    )


def _neighbour_words(found: Neighbours, *, alone: bool) -> str:
    words = "What an encoder takes for alike is what any classifier on top of it will confuse."
    if not found.kept:
        return words
    kept = {role: percent(share) for role, share in found.kept.items()}
    if alone:
        return f"{words} With the trigger on it, an image keeps {kept['before']} of its neighbours."
    return (
        f"{words} With the trigger on it, an image keeps {kept['before']} of its neighbours before "
        f"purification and {kept['after']} after."
    )


def _query(query: Query, number: int, *, alone: bool) -> PictureGroup:
    return PictureGroup(
        lead=Picture(source=query.picture, alt=f"Image {number}, clean."),
        rows=tuple(_neighbour_row(row, number, alone=alone) for row in query.rows),
    )


def _neighbour_row(row: NeighbourRow, number: int, *, alone: bool) -> PictureRow:
    state = "with trigger" if row.triggered else "clean"
    name = state if alone else f"{row.role}, {state}"
    reference = row.role == "before" and not row.triggered
    return PictureRow(
        name=name,
        note="" if reference else f"{sum(row.same)} of {len(row.same)} kept",
        pictures=tuple(
            Picture(
                source=source,
                alt=f"Neighbour {place} of image {number} ({name}), clean image {position}"
                + (", framed." if same and not reference else "."),
                marked=same and not reference,
            )
            for place, (source, position, same) in enumerate(
                zip(row.pictures, row.positions, row.same, strict=True), start=1
            )
        ),
    )


def changed_gallery(dossier: Dossier) -> Gallery | None:
    """An image under the best changes of each kind."""
    found = dossier.changed
    if found is None:
        return None
    rows = tuple(
        PictureRow(
            name=kind,
            pictures=tuple(
                Picture(source=source, alt=f"The image under change {number} of kind {kind}.")
                for number, source in enumerate(pictures, start=1)
            ),
        )
        for kind, pictures in found.rows.items()
    )
    most = max(len(pictures) for pictures in found.rows.values())
    return Gallery(
        caption="An image, and what the student saw in its place: the best changes of each kind, "
        "which are varied a little every time.",
        lead="image",
        columns=tuple(str(number + 1) for number in range(most)),
        groups=(PictureGroup(lead=Picture(source=found.picture, alt="The image."), rows=rows),),
    )
