"""The page of a dossier: the verdict, then the evidence, then where the numbers come from."""

import json
from collections.abc import Mapping
from typing import Any

from mimic.report.dossier.facts import Dossier, Subject
from mimic.report.dossier.learned import (
    changes_section,
    feature_section,
    information_section,
    loss_section,
)
from mimic.report.dossier.measured import (
    canary_section,
    door_section,
    scan_section,
    utility_section,
)
from mimic.report.dossier.pictured import (
    attention_section,
    neighbour_section,
    new_trigger_section,
    trigger_section,
)
from mimic.report.dossier.words import TITLES, highlights, lead, sentence, verdict
from mimic.report.page import Page, Section

_LONGEST = 120
"""Characters of a setting; some architectures are a whole configuration."""


def dossier_page(dossier: Dossier) -> Page:
    """A dossier as a page; a section whose data is not there is absent."""
    told, tone = verdict(dossier)
    sections = (
        _reasons(dossier),
        trigger_section(dossier),
        door_section(dossier),
        canary_section(dossier),
        new_trigger_section(dossier),
        scan_section(dossier),
        feature_section(dossier),
        attention_section(dossier),
        information_section(dossier),
        changes_section(dossier),
        loss_section(dossier),
        neighbour_section(dossier),
        utility_section(dossier),
        Section(heading="What this shows, and what it does not", notes=tuple(_limits(dossier))),
    )
    return Page(
        title=TITLES[dossier.kind],
        verdict=told,
        tone=tone,
        lead=lead(dossier),
        sections=tuple(section for section in sections if section is not None),
        provenance=_provenance(dossier),
        command=dossier.command,
        highlights=highlights(dossier),
    )


def _reasons(dossier: Dossier) -> Section | None:
    if dossier.verification is None or not dossier.verification["reasons"]:
        return None
    reasons = dossier.verification["reasons"]
    return Section(heading="Why", notes=tuple(f"{sentence(reason)}." for reason in reasons))


def _limits(dossier: Dossier) -> list[str]:
    notes = []
    if dossier.scan is not None:
        families = ", ".join(f"{trigger['family']}" for trigger in dossier.scan["triggers"])
        notes += [
            f"Triggers of these kinds were searched for: {families}. A backdoor that answers to "
            "another kind, such as a warp or an object, is not found.",
            "An inverted trigger opens the same door as the attacker's, but need not look like it.",
        ]
    notes += [
        "Only clean images without labels were used. Nothing here is an attack success rate or an "
        "accuracy; those need the trigger and labels.",
        f"Features, attention and neighbours are shown for {dossier.images['looked_at']} of the "
        "images. A plane hides what lies outside it.",
    ]
    return notes


def _provenance(dossier: Dossier) -> dict[str, str]:
    images, machine = dossier.images, dossier.machine
    said: dict[str, str] = {}
    for subject in dossier.subjects:
        said |= _encoder(subject, alone=len(dossier.subjects) == 1)
    said["Images"] = f"{images['name']}: {images['given']:,}"
    said["Seed"] = str(dossier.seed)
    if dossier.settings:
        said["Settings"] = _spelled(dossier.settings)
    if dossier.purification is not None:
        done = dossier.purification
        said["Training"] = f"{done['epochs']} epochs, {done['seconds']:.0f} s"
    for name, found in (("Scan", dossier.scan), ("Verification", dossier.verification)):
        if found is not None:
            said[name] = f"{found['seconds']:.0f} s"
    said["Machine"] = (
        f"{machine['device']}, threads {machine['threads']}, precision {machine['precision']}"
    )
    said["Versions"] = ", ".join(f"{name} {value}" for name, value in dossier.versions.items())
    return said


def _encoder(subject: Subject, *, alone: bool) -> dict[str, str]:
    role = "" if alone else f" {subject.role}"
    size = "any size" if subject.image_size is None else f"{subject.image_size} pixels"
    architecture = _short(subject.architecture or "of the user's own")
    return {
        f"Encoder{role}": subject.name,
        f"SHA-256{role}": subject.sha256 or "not from a file",
        f"Network{role}": f"{architecture}, {subject.parameters:,} parameters, images of {size}, "
        f"a feature of {subject.dimension} numbers",
    }


def _spelled(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(_value(value))}" for name, value in settings.items())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
