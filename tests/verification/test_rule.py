"""The rule: the worst answer counts, and nothing found means that nothing is shown."""

import pytest

from mimic.detection.scan import Scan
from mimic.verification.canary import SURVIVES, TOOK, Canary, Pull
from mimic.verification.doors import OldDoor
from mimic.verification.rule import CLOSED, KEPT, LOST, OPEN, Decision, decide
from mimic.verification.utility import Kept, Utility


def scanned(verdict: str) -> Scan:
    return Scan(
        verdict=verdict,
        score=9.0,
        p_value=0.04,
        doors=(),
        p_values={"patch": 0.04, "pattern": 0.3, "colour": 0.6, "mark": 0.04},
        cosine_before=0.1,
        cosine_after={},
        displaced={},
        images_used=64,
        calibration="none",
        seconds=1.0,
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


def kept(share: float) -> Utility:
    whole = Kept(value=share, ci95=(share, share), yardstick=0.3)
    return Utility(
        cka=whole,
        mutual_neighbours=whole,
        effective_rank=whole,
        effective_rank_before=1.0,
        effective_rank_after=1.0,
        cosine=None,
        n=40,
        seconds=0.0,
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
    *, before="suspicious", after="clean", doors=None, neighbours=0.8, known=None, seen=False
) -> Decision:
    return decide(
        scanned(before),
        scanned(after),
        doors or (door(0.0),),
        kept(neighbours),
        canary=known,
        seen=seen,
    )


def test_a_closed_door_and_kept_work_are_accepted():
    assert decided().verdict == "accepted"


@pytest.mark.parametrize(
    ("changed", "verdict", "reason"),
    [
        ({"doors": (door(OPEN + 0.01),)}, "not_accepted", "still open"),
        ({"doors": (door(0.0), door(OPEN + 0.01))}, "not_accepted", "still open"),
        ({"doors": (door((CLOSED + OPEN) / 2),)}, "undecided", "ajar"),
        ({"after": "suspicious"}, "not_accepted", "finds a door"),
        ({"neighbours": LOST - 0.01}, "not_accepted", "no longer does the same work"),
        ({"neighbours": (LOST + KEPT) / 2}, "undecided", "may have lost"),
        ({"before": "clean"}, "undecided", "no trigger was found"),
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


def test_a_family_that_gains_no_more_than_usual_is_not_held_against_the_new_encoder():
    # a faithful copy of any encoder yields to what was made for that one
    assert decided(doors=(door(0.0), door(0.3, "colour"))).verdict == "accepted"


def test_the_reasons_name_the_numbers():
    assert "60 % more" in decided().reasons[0]
    assert decided().thresholds == {
        **{"closed": CLOSED, "open": OPEN, "kept": KEPT, "lost": LOST},
        **{"took": TOOK, "survives": SURVIVES},
    }


def test_a_canary_that_is_gone_changes_no_verdict():
    assert decided(known=canary(0.1)).verdict == "accepted"
    assert decided(known=canary(0.1), before="clean").verdict == "undecided"


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
