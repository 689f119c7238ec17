"""Sections of numbers: scans among those of clean encoders, old doors, and what is kept."""

from collections.abc import Mapping
from typing import Any

from mimic.report.dossier.charts import DoorBar, KeptBar, door_chart, kept_chart, score_chart
from mimic.report.dossier.facts import Dossier
from mimic.report.dossier.words import beyond, sentence, tidy
from mimic.report.figures import percent
from mimic.report.page import Cell, Figure, Row, Section, Table

Facts = Mapping[str, Any]

_MEASURES = {
    "mutual_neighbours": (
        "Mutual neighbours",
        "share of the nearest images (1 in 100) that are the same",
    ),
    "cka": ("Linear CKA", "whether the same images are alike; around 0 for unrelated features"),
    "cosine": ("Cosine", "between the features of an image before and after"),
    "effective_rank": ("Effective rank", "directions in which features spread, as a share"),
}


def scan_section(dossier: Dossier) -> Section | None:
    """How the encoders score in scans, compared with clean ones."""
    if dossier.scan is None:
        return None
    scans = {"before": dossier.scan}
    if dossier.verification is not None:
        scans["after"] = dossier.verification["scan_after"]
    return Section(
        heading="Compared with clean encoders",
        paragraphs=(
            f"A scan searched with {dossier.scan['images_used']} clean images and was compared "
            f"with {tidy(dossier.scan['calibration'])}. For an encoder of another kind the p-value "
            "is a guide, not a guarantee.",
        ),
        table=_scans_table(scans) if len(scans) > 1 else None,
        figures=_scores(dossier, scans),
    )


def _scans_table(scans: Mapping[str, Facts]) -> Table:
    return Table(
        caption=f"A finding from p = {scans['before']['false_positive_rate']} down.",
        columns=("Encoder", "Verdict", "Score", "p-value"),
        rows=tuple(_scan_row(role, scan) for role, scan in scans.items()),
    )


def _scan_row(name: str, scan: Facts) -> Row:
    values = (scan["verdict"], f"{scan['score']:.1f}", f"{scan['p_value']:.3f}")
    return Row(name=name, cells=tuple(Cell(value=value) for value in values))


def _scores(dossier: Dossier, scans: Mapping[str, Facts]) -> tuple[Figure, ...]:
    if not dossier.clean_scores:
        return ()
    scores = {role: scan["score"] for role, scan in scans.items()}
    return (
        Figure(
            svg=score_chart(dossier.clean_scores, scores, name="scores"),
            caption="The score says how far what triggers gain exceeds what they gain on clean "
            "encoders. The axis is linear up to 2 and logarithmic above.",
        ),
    )


def door_section(dossier: Dossier) -> Section | None:
    """What the triggers of the old encoder do to the new one."""
    if dossier.verification is None or not dossier.verification["old_doors"]:
        return None
    doors = dossier.verification["old_doors"]
    limits = dossier.verification["thresholds"]
    columns = ("before", "natural_before", "after", "natural_after")
    return Section(
        heading="Old triggers on the new encoder",
        paragraphs=(
            "Triggers that were found on the old encoder are put on images that the search did not "
            "see, for both encoders. Any change takes a little of what tells images apart away; "
            "natural are changes of the same kind and size that nobody made for a backdoor.",
        ),
        table=Table(
            caption="Shares of what tells images apart that are taken away; of a mark, standard "
            "deviations by which it moves features.",
            columns=("Trigger", "Before", "natural", "After", "natural"),
            rows=tuple(
                Row(
                    name=sentence(door["family"]),
                    cells=tuple(Cell(value=beyond(door, door[column])) for column in columns),
                )
                for door in doors
            ),
        ),
        figures=(
            Figure(
                svg=door_chart(
                    [
                        DoorBar(name=d["family"], before=d["opened"], after=d["residue"])
                        for d in doors
                    ],
                    closed=limits["closed"],
                    opened=limits["open"],
                    name="doors",
                ),
                caption="What triggers take away beyond what is natural; of a mark, 10 standard "
                "deviations are 100 %.",
            ),
        ),
    )


def utility_section(dossier: Dossier) -> Section | None:
    """What the new encoder keeps of the old one."""
    if dossier.verification is None:
        return None
    utility = dossier.verification["utility"]
    found = {name: utility[name] for name in _MEASURES if utility.get(name) is not None}
    bars = [
        KeptBar(
            name=_MEASURES[name][0],
            value=kept["value"],
            low=kept["ci95"][0],
            high=kept["ci95"][1],
            yardstick=kept["yardstick"],
        )
        for name, kept in found.items()
    ]
    return Section(
        heading="What is kept of the old encoder",
        paragraphs=(
            f"Measured on {utility['n']} clean images. 1 means that nothing has changed. The "
            "yardstick is what the old encoder itself gives when one side sees a random view of "
            "each image. A perfect copy keeps everything, the backdoor as well.",
        ),
        table=Table(
            caption="With 95 % intervals.",
            columns=("Measure", "Kept", "Yardstick"),
            rows=tuple(_kept_row(name, kept) for name, kept in found.items()),
        ),
        figures=(
            Figure(
                svg=kept_chart(bars, name="kept"),
                caption="The same as a figure. Lines are 95 % intervals.",
            ),
        ),
    )


def _kept_row(name: str, kept: Facts) -> Row:
    low, high = kept["ci95"]
    heading, note = _MEASURES[name]
    return Row(
        name=heading,
        note=note,
        cells=(
            Cell(value=f"{kept['value']:.3f}", note=f"{low:.3f} to {high:.3f}"),
            Cell(value=f"{kept['yardstick']:.3f}"),
        ),
    )


def canary_section(dossier: Dossier) -> Section | None:
    """What the same purification does to a backdoor that is known."""
    found = None if dossier.verification is None else dossier.verification.get("canary")
    if found is None:
        return None
    stages = ("untouched", "implanted", "purified")
    return Section(
        heading="A backdoor of our own",
        paragraphs=(
            f"A backdoor with a known trigger, {tidy(found['trigger'])}, was implanted into a copy "
            "of the old encoder, and the copy was purified in the same way. "
            + (
                f"{percent(found['surviving'])} of its strength is left."
                if found["took"]
                else "It did not take, so this says nothing."
            ),
        ),
        table=Table(
            caption="Mean cosine between images and the picture that the trigger leads to.",
            columns=("Encoder", "With the trigger", "Without it"),
            rows=tuple(
                Row(
                    name=stage,
                    cells=tuple(
                        Cell(value=f"{found[stage][kind]:.2f}") for kind in ("triggered", "plain")
                    ),
                )
                for stage in stages
                if found[stage] is not None
            ),
        ),
    )
