"""An objective or a trainer may end a training after any epoch; what is resumed ends there too."""

from dataclasses import dataclass, replace

import pytest
import torch

from mimic.errors import InterruptedRunError
from mimic.training import Plan, Trainer

from .support import Classify, Pairs, identical, weights

PLAN = Plan(epochs=3, batch_size=8, learning_rate=0.01)
STEPS_PER_EPOCH = 6
CPU = Trainer(device="cpu", precision="32-true")


@pytest.fixture
def trainer(tmp_path) -> Trainer:
    return replace(CPU, folder=tmp_path, resume=True)


class Content(Classify):
    """Content after so many epochs, which its learner counts."""

    def __init__(self, *, epochs: int, signal_at: int = 0) -> None:
        super().__init__(signal_at=signal_at)
        self.learner.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self._enough, self._asked = epochs * STEPS_PER_EPOCH, []

    def after_step(self) -> None:
        self.learner.seen += 1

    def finished(self, epoch) -> bool:
        self._asked.append(epoch)
        return int(self.learner.seen) >= self._enough


def test_an_objective_that_is_content_ends_the_training():
    history = CPU.fit(Content(epochs=2), Pairs(), PLAN)
    assert (len(history.epochs), history.steps) == (2, 2 * STEPS_PER_EPOCH)


def test_the_epochs_up_to_an_early_end_are_those_of_the_whole_training():
    whole, ended = Content(epochs=9), Content(epochs=2)
    assert len(CPU.fit(whole, Pairs(), PLAN).epochs) == 3
    CPU.fit(ended, Pairs(), PLAN)
    assert [record["classes"] for record in ended._asked] == [
        record["classes"] for record in whole._asked[:2]
    ]


def test_an_objective_sees_the_record_of_the_epoch():
    objective = Content(epochs=2)
    history = CPU.fit(objective, Pairs(), PLAN)
    assert objective._asked == history.epochs


@pytest.mark.parametrize("step", [1, STEPS_PER_EPOCH, 8, 2 * STEPS_PER_EPOCH])
def test_a_resumed_training_ends_as_early_and_bit_identical(trainer, step):
    whole, resumed = Content(epochs=2), Content(epochs=2)
    CPU.fit(whole, Pairs(), PLAN)
    with pytest.raises(InterruptedRunError):
        trainer.fit(Content(epochs=2, signal_at=step), Pairs(), PLAN)
    history = trainer.fit(resumed, Pairs(), PLAN)
    assert history.steps == 2 * STEPS_PER_EPOCH
    assert identical(weights(resumed.learner), weights(whole.learner))


def test_resuming_a_training_that_ended_early_takes_no_step(trainer):
    first = trainer.fit(Content(epochs=1), Pairs(), PLAN)
    again = Content(epochs=1)
    assert trainer.fit(again, Pairs(), PLAN) == first
    assert again._steps == 0


@dataclass(frozen=True, kw_only=True)
class Impatient(Trainer):
    """Ends trainings of one name with their second epoch."""

    ended: str

    def ends(self, name, learner, epoch) -> bool:
        return name == self.ended and epoch["epoch"] == 2 and int(learner.seen) > 0


@pytest.mark.parametrize(("name", "epochs"), [("long", 2), ("other", 3)])
def test_a_trainer_may_end_a_training(tmp_path, name, epochs):
    trainer = Impatient(
        ended="long", device="cpu", precision="32-true", folder=tmp_path, resume=True
    )
    history = trainer.fit(Content(epochs=9), Pairs(), PLAN, name=name)
    assert len(history.epochs) == epochs
    assert trainer.fit(Content(epochs=9), Pairs(), PLAN, name=name).epochs == history.epochs
