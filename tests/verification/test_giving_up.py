"""Giving up: a student that knows the old doors late in its training is not trained to its end."""

import copy
from dataclasses import replace

import pytest

from mimic.defenses import Mimic, Purification
from mimic.detection.scan import scan
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import History, Trainer
from mimic.verification.attempts import Judges, purify_and_verify
from mimic.verification.giving_up import WatchfulTrainer, watchful

TRAINER = Trainer(device="cpu", precision="32-true")
EPOCHS = 10

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.fixture
def watch(with_door, noise) -> WatchfulTrainer:
    found = scan(with_door, noise.subset(range(80)), trainer=TRAINER)
    watch = watchful(TRAINER, with_door, found, noise.subset(range(80, 160)), epochs=EPOCHS)
    assert watch is not None
    return watch


def test_a_student_that_knows_the_door_is_given_up(watch, with_door):
    student = copy.deepcopy(with_door).train()
    assert watch.ends("mimic", student, {"epoch": 5.0})
    (reason,) = watch.reasons
    assert reason.startswith("given up after 5 of 10 epochs: the old door is still open: a ")
    assert student.training


def test_a_student_without_the_door_is_trained_to_the_end(watch, without_door):
    assert not any(
        watch.ends("mimic", without_door, {"epoch": epoch}) for epoch in range(1, EPOCHS)
    )
    assert watch.reasons == []


@pytest.mark.parametrize("epoch", [1, 2, 4, 6])
def test_a_student_is_looked_at_late_and_seldom(watch, with_door, epoch):
    assert not watch.ends("mimic", with_door, {"epoch": epoch})


def test_other_trainings_are_not_looked_at(watch, with_door):
    assert not watch.ends("information", with_door, {"epoch": 5})
    assert not watch.ends("mimic", with_door.backbone, {"epoch": 5})


def test_a_student_with_divided_weights_is_not_looked_at(watch, with_door):
    object.__setattr__(watch, "fsdp", True)
    assert not watch.ends("mimic", with_door, {"epoch": 5})


def test_it_trains_as_the_trainer_does(watch):
    assert watch.device == "cpu"
    assert replace(watch, resume=True).doors == watch.doors


def test_nothing_is_watched_where_nothing_was_found(without_door, noise):
    found = scan(without_door, noise, trainer=TRAINER)
    assert found.verdict == "clean"
    assert watchful(TRAINER, without_door, found, noise, epochs=EPOCHS) is None


class Lookalike(Mimic):
    """Copies the door, whatever it sees; asks the trainer in the middle of the training."""

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        trained.append(trainer.ends("mimic", suspect, {"epoch": self.epochs // 2}))
        return Purification(encoder=suspect, history=History())


trained: list[bool] = []


def test_only_an_attempt_that_another_one_follows_is_given_up(with_door, noise):
    trained.clear()
    said: list[str] = []
    outcome = purify_and_verify(
        with_door,
        noise,
        Lookalike(epochs=EPOCHS),
        Judges(images=noise, seen=True),
        most=2,
        trainer=TRAINER,
        tell=said.append,
    )
    assert trained == [True, False]
    first, second = outcome.attempts
    assert first.verdict == second.verdict == "not_accepted"
    assert "given up after 5 of 10 epochs" in first.reasons[0]
    assert "given up" not in second.reasons[0]
    assert outcome.verification is not None
    assert [sentence.split(":")[0] for sentence in said] == [
        "searching the old encoder for triggers, so that a student that knows them is given up",
        "attempt 1 is not accepted",
        "attempt 2 of at most 2, with epochs 20, seed 1, searched_share 0.3",
        "purified; verifying with 160 images",
    ]
