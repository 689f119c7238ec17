"""The rule: the worst answer counts, and nothing found means that nothing is shown."""

import pytest

from mimic.verification.canary import SURVIVES, TOOK, Canary, Pull
from mimic.verification.doors import OldDoor
from mimic.verification.rule import (
    CLOSED,
    KEPT,
    LOST,
    OPEN,
    UNUSUAL,
    Decision,
    Evidence,
    decide,
)


def door(residue: float, family: str = "patch") -> OldDoor:
    opened = 0.6
    return OldDoor(
        family=family,
        description="a patch",
        before=0.3 + opened,
        natural_before=0.3,
        after=0.25 + residue,
        natural_after=0.25,
    )


def canary(left: float | None) -> Canary:
    """Our own door, of which a share is left; None where it could not be implanted."""
    weak, strong = Pull(triggered=0.1, plain=0.0), Pull(triggered=1.0, plain=0.0)
    return Canary(
        trigger="a patch",
        untouched=weak,
        implanted=weak if left is None else strong,
        purified=None if left is None else Pull(triggered=left, plain=0.0),
        images=100,
        seconds=1.0,
    )


def decided(
    *, before=True, after=False, doors=None, neighbours=0.8, known=None, seen=False
) -> Decision:
    found = Evidence(
        suspicious_before=before,
        p_values_before={
            **{"patch": 0.04, "pattern": UNUSUAL, "mark": 0.04},
            **{"mask": UNUSUAL + 0.001, "colour": 0.6},
        },
        doors=doors or (door(0.0),),
        suspicious_after=after,
        score_after=9.0,
        p_value_after=0.04,
        mutual_neighbours=neighbours,
    )
    return decide(found, canary=known, seen=seen)


def test_a_closed_door_and_kept_work_are_accepted():
    assert decided().verdict == "accepted"


@pytest.mark.parametrize(
    ("changed", "verdict", "reason"),
    [
        ({"doors": (door(OPEN + 0.01),)}, "not_accepted", "still open"),
        ({"doors": (door(0.0), door(OPEN + 0.01))}, "not_accepted", "still open"),
        ({"doors": (door((CLOSED + OPEN) / 2),)}, "undecided", "ajar"),
        ({"after": True}, "not_accepted", "finds a door"),
        ({"neighbours": LOST - 0.01}, "not_accepted", "no longer does the same work"),
        ({"neighbours": (LOST + KEPT) / 2}, "undecided", "may have lost"),
        ({"before": False}, "undecided", "no trigger was found"),
        ({"doors": (door(0.0), door(OPEN + 0.01, "pattern"))}, "not_accepted", "still open"),
        ({"known": canary(SURVIVES + 0.01)}, "not_accepted", "51 % is left"),
    ],
)
def test_one_bad_answer_is_enough(changed, verdict, reason):
    decision = decided(**changed)
    assert decision.verdict == verdict
    assert reason in decision.reasons[0]


def test_the_worst_answer_comes_first():
    decision = decided(doors=(door(0.5),), neighbours=(LOST + KEPT) / 2)
    assert decision.verdict == "not_accepted"
    assert "still open" in decision.reasons[0]
    assert "may have lost" in decision.reasons[1]


@pytest.mark.parametrize("family", ["mask", "colour"])
def test_a_family_that_is_not_unusual_is_not_held_against_the_new_encoder(family):
    # a faithful copy of any encoder yields to what was made for that one
    decision = decided(doors=(door(0.0), door(OPEN + 0.2, family)))
    assert decision.verdict == "accepted"
    assert not any("still open" in reason for reason in decision.reasons)


def test_the_reasons_name_the_numbers():
    assert "60 % more" in decided().reasons[0]
    assert decided().thresholds == {
        **{"unusual": UNUSUAL, "closed": CLOSED, "open": OPEN, "kept": KEPT, "lost": LOST},
        **{"took": TOOK, "survives": SURVIVES},
    }


def test_a_canary_that_is_gone_changes_no_verdict():
    assert decided(known=canary(0.1)).verdict == "accepted"
    assert decided(known=canary(0.1), before=False).verdict == "undecided"


def test_a_canary_that_could_not_be_implanted_is_ignored_and_said():
    decision = decided(known=canary(None))
    assert decision.verdict == "accepted"
    assert "could not be implanted" in decision.reasons[-1]


def test_images_that_were_purified_with_are_said():
    decision = decided(seen=True)
    assert decision.verdict == "accepted"
    assert "images that it was purified with" in decision.reasons[-1]


def test_a_mark_is_told_in_standard_deviations():
    decision = decided(doors=(door(0.35, "mark"),))
    assert decision.verdict == "not_accepted"
    assert "6.0 standard deviations farther on the old encoder" in decision.reasons[0]
    assert "3.5 on the new one" in decision.reasons[0]
