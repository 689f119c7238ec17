"""Attempts: purified until one is not refused, and a resumed run repeats none that was."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mimic.defenses import Defense, Purification
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError, InterruptedRunError, RunError
from mimic.images.imageset import ImageSet
from mimic.training import History, Trainer
from mimic.verification import attempts as module
from mimic.verification.attempts import Judges, Outcome, purify_and_verify
from mimic.verification.rule import Decision

TRAINER = Trainer(device="cpu", precision="32-true")


@dataclass(frozen=True, kw_only=True)
class Locksmith(Defense):
    """Closes the door from a seed on."""

    closes_from: int = 0

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        suspect.backbone.door = self.seed < self.closes_from
        return Purification(encoder=suspect, history=History())


class Case:
    """Purifies the encoder with the door, and remembers what was said."""

    def __init__(self, encoder: Encoder, images: ImageSet) -> None:
        self.encoder, self.images = encoder, images
        self.said: list[str] = []

    def run(self, closes_from: int, *, trainer=TRAINER, seen=True, count=160, **more) -> Outcome:
        judges = Judges(images=self.images.subset(range(count)), seen=seen)
        return purify_and_verify(
            self.encoder,
            self.images,
            Locksmith(closes_from=closes_from),
            judges,
            trainer=trainer,
            tell=self.said.append,
            **more,
        )


@pytest.fixture
def clairvoyant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verification that looks whether there is a door; a scan finds none."""

    def verify(before, after, images, *, seen, scan_before, **_):
        verdict = "not_accepted" if after.backbone.door else "accepted"
        decision = Decision(verdict=verdict, reasons=(f"seen: {seen}",), thresholds={})
        return SimpleNamespace(decision=decision, scan_before=scan_before or object())

    monkeypatch.setattr(module, "verify", verify)
    monkeypatch.setattr(module, "scan", lambda *_, **__: SimpleNamespace(verdict="clean"))


pytestmark = pytest.mark.usefixtures("clairvoyant")


@pytest.fixture
def case(with_door, noise) -> Case:
    return Case(with_door, noise)


@pytest.fixture
def kept(tmp_path: Path) -> Trainer:
    """Keeps what it does, and goes on where it was."""
    return replace(TRAINER, folder=tmp_path, resume=True)


def verdicts(outcome: Outcome) -> list[str]:
    return [attempt.verdict for attempt in outcome.attempts]


def test_a_good_purification_is_accepted_at_once(case):
    outcome = case.run(0, most=3)
    assert verdicts(outcome) == ["accepted"]
    assert outcome.verification.decision.verdict == "accepted"
    assert [sentence.split()[0] for sentence in case.said] == ["searching", "purified;"]


def test_the_reasons_know_whether_the_images_were_seen(case):
    assert case.run(0, seen=True).attempts[0].reasons == ("seen: True",)
    assert case.run(0, seen=False).attempts[0].reasons == ("seen: False",)


def test_one_attempt_is_all_there_is_unless_more_are_asked_for(case):
    assert verdicts(case.run(1)) == ["not_accepted"]


def test_a_refused_purification_is_tried_again_with_stronger_settings(case):
    outcome = case.run(1, most=3)
    assert verdicts(outcome) == ["not_accepted", "accepted"]
    assert [attempt.settings["seed"] for attempt in outcome.attempts] == [0, 1]
    assert outcome.purification.encoder.backbone.door is False
    assert "attempt 2 of at most 3, with seed 1" in case.said


def test_attempts_come_to_an_end(case):
    outcome = case.run(9, most=2)
    assert verdicts(outcome) == ["not_accepted", "not_accepted"]
    assert outcome.verification.decision.verdict == "not_accepted"


def test_no_attempt_at_all_is_refused(case):
    with pytest.raises(InputError, match="1 or more, not 0"):
        case.run(0, most=0)


def test_the_old_encoder_is_searched_once(case, monkeypatch):
    found, given, scanned = SimpleNamespace(verdict="clean"), [], []
    verify = module.verify

    def watched(*encoders, scan_before=None, **more):
        given.append(scan_before)
        return verify(*encoders, scan_before=scan_before, **more)

    monkeypatch.setattr(module, "verify", watched)
    monkeypatch.setattr(module, "scan", lambda *_, **__: scanned.append(1) or found)
    case.run(1, most=2)
    assert scanned == [1]
    assert given == [found, found]


def test_one_attempt_is_not_searched_for_ahead_of_it(case, monkeypatch):
    monkeypatch.setattr(module, "scan", lambda *_, **__: pytest.fail("searched"))
    assert verdicts(case.run(1)) == ["not_accepted"]


def test_a_search_that_fails_costs_no_purification(case, monkeypatch):
    def fail(*_, **__):
        raise RunError("the search broke")

    monkeypatch.setattr(module, "scan", fail)
    assert verdicts(case.run(0, most=2)) == ["accepted"]


def test_few_images_leave_the_verdict_open(case):
    outcome = case.run(0, most=3, count=127)
    assert verdicts(outcome) == ["undecided"]
    assert outcome.verification is None
    assert "127 images are too few" in outcome.attempts[0].reasons[0]


def test_without_judges_nothing_is_verified(with_door, noise):
    outcome = purify_and_verify(with_door, noise, Locksmith(), None, trainer=TRAINER, tell=print)
    assert verdicts(outcome) == ["undecided"]
    assert "mimic verify" in outcome.attempts[0].reasons[0]


def test_a_verification_that_fails_costs_no_purification(case, monkeypatch):
    def fail(*_, **__):
        raise RunError("the search broke")

    monkeypatch.setattr(module, "verify", fail)
    outcome = case.run(0)
    assert verdicts(outcome) == ["undecided"]
    assert outcome.attempts[0].reasons == ("the verification failed: the search broke",)


def test_an_attempt_that_was_refused_is_not_made_again(case, kept, monkeypatch):
    first = case.run(1, most=2, trainer=kept)
    runs = []
    run = Locksmith.run
    monkeypatch.setattr(
        Locksmith, "run", lambda self, *others: runs.append(self.seed) or run(self, *others)
    )
    again = case.run(1, most=2, trainer=kept)
    assert runs == [1]
    assert again.attempts == first.attempts


def test_a_refusal_of_other_settings_does_not_count(case, kept):
    case.run(9, most=2, trainer=kept)
    record = kept.folder / "refused-1.json"
    assert json.loads(record.read_text())["settings"] == asdict(Locksmith(closes_from=9))
    assert verdicts(case.run(0, most=2, trainer=kept)) == ["accepted"]


def test_later_attempts_keep_their_checkpoints_apart(case, kept, monkeypatch):
    folders = []
    run = Locksmith.run

    def watched(self, suspect, images, trainer):
        folders.append(trainer.folder)
        return run(self, suspect, images, trainer)

    monkeypatch.setattr(Locksmith, "run", watched)
    case.run(9, most=3, trainer=kept)
    assert folders == [kept.folder, kept.folder / "attempt-2", kept.folder / "attempt-3"]


@pytest.mark.parametrize(("folder", "advice"), [(True, "--resume continues"), (False, "nothing")])
def test_an_interruption_says_what_is_kept(case, kept, monkeypatch, folder, advice):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "verify", interrupt)
    with pytest.raises(InterruptedRunError, match=f"while verifying.*{advice}"):
        case.run(0, trainer=kept if folder else TRAINER)
