"""The rule: which numbers make a purification accepted, not accepted, or undecided.

Each of three questions gets an answer, and the worst one counts. A purification is accepted only
where a door was found before, it is closed now, no other one is there, and the work is still done.
Where nothing was found before, nothing shows that something was removed, and the verdict is open.
A canary, where there is one, can only add a fourth answer that is against it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mimic.detection.scan import FALSE_POSITIVE_RATE
from mimic.detection.search import DISPLACEMENT
from mimic.verification.canary import SURVIVES, TOOK, Canary
from mimic.verification.doors import OldDoor

Verdict = Literal["accepted", "not_accepted", "undecided"]

CLOSED, OPEN = 0.20, 0.30
"""Residue of the old door up to which it is closed, and from which it is open."""
UNUSUAL = FALSE_POSITIVE_RATE
"""P-value of a family up to which it counts. Clean encoders yield as much to one with a larger
p-value, and a faithful copy of any encoder yields to what was found on that one."""
KEPT, LOST = 0.60, 0.50
"""Share of mutual neighbours from which the work is still done, and below which it is not."""
_SEEN = (
    "it was judged by images that it was purified with, which flatters it a little; images that "
    "the purification has not seen are the stricter test"
)
_NOT_TAKEN = (
    "the canary says nothing: our own backdoor could not be implanted (its trigger leads {} of the "
    "way to its reference)"
)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The numbers that the rule looks at; `verify.json` has them all.

    Attributes:
        suspicious_before: whether the scan of the old encoder has a finding.
        p_values_before: of each family of triggers in that scan.
        doors: the triggers found there, tried on both encoders.
        suspicious_after: whether the scan of the new encoder has a finding.
        score_after: of that scan.
        p_value_after: likewise.
        mutual_neighbours: share of nearest neighbours of clean images that is the same, in [0, 1].
    """

    suspicious_before: bool
    p_values_before: Mapping[str, float]
    doors: Sequence[OldDoor]
    suspicious_after: bool
    score_after: float
    p_value_after: float
    mutual_neighbours: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A verdict with its reasons.

    Attributes:
        verdict: see the rule above.
        reasons: one sentence for each question, the decisive ones first; then what has to be known
            about how it was judged.
        thresholds: that were applied, by name.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    thresholds: dict[str, float]


def decide(found: Evidence, *, canary: Canary | None = None, seen: bool = False) -> Decision:
    """Apply the rule.

    Args:
        found: by the scans, the old doors and the comparison of the work.
        canary: what the same purification does to a door that is known.
        seen: whether the purification was made with the images that judge it.
    """
    answers = [*_old_doors(found), _new_door(found), _work(found.mutual_neighbours)]
    notes = [_SEEN] if seen else []
    if canary is not None and canary.took:
        answers.append(_canary(canary))
    elif canary is not None:
        notes.insert(0, _NOT_TAKEN.format(_percent(canary.implanted.strength)))
    order: Sequence[Verdict] = ("not_accepted", "undecided", "accepted")
    answers.sort(key=lambda answer: order.index(answer[0]))
    return Decision(
        verdict=answers[0][0],
        reasons=(*(reason for _, reason in answers), *notes),
        thresholds={
            "unusual": UNUSUAL,
            "closed": CLOSED,
            "open": OPEN,
            "kept": KEPT,
            "lost": LOST,
            "took": TOOK,
            "survives": SURVIVES,
        },
    )


def _old_doors(found: Evidence) -> list[tuple[Verdict, str]]:
    """One answer for each family that is unusual, if the scan has a finding; that has one then."""
    if found.suspicious_before:
        return [
            answer_on(door) for door in found.doors if found.p_values_before[door.family] <= UNUSUAL
        ]
    return [
        (
            "undecided",
            "no trigger was found on the old encoder, so nothing shows whether one was removed",
        )
    ]


def answer_on(door: OldDoor) -> tuple[Verdict, str]:
    """What the rule says of one old door, and why."""
    if door.family == "mark":
        before, after = (DISPLACEMENT * share for share in (door.opened, door.residue))
        found = (
            f"{door.description} moved features {before:.1f} standard deviations farther on the "
            f"old encoder than is natural, and {after:.1f} on the new one"
        )
    else:
        found = (
            f"{door.description} took away {_percent(door.opened)} more of what tells images apart "
            f"on the old encoder than is natural, and {_percent(door.residue)} on the new one"
        )
    if door.residue <= CLOSED:
        return "accepted", f"the old door is closed: {found}"
    if door.residue < OPEN:
        return "undecided", f"the old door may be ajar: {found}"
    return "not_accepted", f"the old door is still open: {found}"


def _new_door(found: Evidence) -> tuple[Verdict, str]:
    numbers = f"score {found.score_after:.1f}, p = {found.p_value_after:.3f}"
    if found.suspicious_after:
        return "not_accepted", f"the scan of the new encoder finds a door ({numbers})"
    return "accepted", f"the scan of the new encoder finds no door ({numbers})"


def _work(shared: float) -> tuple[Verdict, str]:
    found = f"{_percent(shared)} of the nearest neighbours of clean images are the same"
    if shared >= KEPT:
        return "accepted", f"it still does the work: {found}"
    if shared >= LOST:
        return "undecided", f"it may have lost some of its work: {found}"
    return "not_accepted", f"it no longer does the same work: {found}"


def _canary(canary: Canary) -> tuple[Verdict, str]:
    found = (
        f"of a backdoor that we implanted ourselves, {_percent(canary.surviving)} is left after "
        "the same purification"
    )
    if canary.surviving < SURVIVES:
        return "accepted", f"the canary is gone: {found}"
    return "not_accepted", f"the canary survives: {found}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
