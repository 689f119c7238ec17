"""Parts of a batch add up to the batch, and memory that runs out makes more of them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mimic.errors import InputError, RunError
from mimic.training import Objective, Plan, Trainer
from mimic.training.parts import own_part, sizes_of, split

from .support import Classify, Numbers, Pairs, Regress, Remember, identical, weights

CPU = Trainer(device="cpu", precision="32-true")
PLAN = Plan(epochs=2, batch_size=7, learning_rate=0.05, optimizer="sgd", drop_last=False)
STEPS = 8
"""22 numbers make batches of 7, 7, 7 and 1."""


def trained(trainer: Trainer, objective: Regress) -> dict[str, Tensor]:
    trainer.fit(objective, Numbers(), PLAN)
    return weights(objective.learner)


@pytest.fixture(scope="module")
def undivided() -> dict[str, Tensor]:
    return trained(CPU, Regress())


class _OneStep(Regress, divisible=True):
    """Keeps the gradients of its only step."""

    def after_step(self) -> None:
        super().after_step()
        self._gradients = [parameter.grad for parameter in self.learner.parameters()]


@pytest.mark.parametrize("parts", [2, 3, 7, 100])
def test_the_gradients_of_parts_add_up_to_those_of_the_batch(parts):
    whole, divided = _OneStep(), _OneStep()
    plan = Plan(epochs=1, batch_size=22, learning_rate=0.1)
    CPU.fit(whole, Numbers(), plan)
    replace(CPU, accumulate=parts).fit(divided, Numbers(), plan)
    for ours, wanted in zip(divided._gradients, whole._gradients, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-7)


def test_a_training_in_parts_ends_with_the_weights_of_one_without(undivided):
    for name, value in trained(replace(CPU, accumulate=3), Regress()).items():
        torch.testing.assert_close(value, undivided[name], rtol=1e-5, atol=1e-6)


def test_the_history_of_parts_is_that_of_whole_batches():
    whole, divided = (
        replace(CPU, accumulate=parts).fit(Regress(), Numbers(), PLAN).epochs for parts in (1, 3)
    )
    for ours, wanted in zip(divided, whole, strict=True):
        assert ours["square"] == pytest.approx(wanted["square"], rel=1e-5)


def test_parts_differ_by_one_image_at_most_and_none_is_empty():
    objective = Regress()
    trained(replace(CPU, accumulate=3), objective)
    assert objective._seen == [3, 2, 2, 3, 2, 2, 3, 2, 2, 1] * 2


def test_one_step_of_the_optimizer_is_made_of_all_parts():
    objective = Regress()
    trained(replace(CPU, accumulate=3), objective)
    assert objective._steps == STEPS


def test_what_cannot_be_divided_is_not():
    whole, asked = Classify(), Classify()
    CPU.fit(whole, Pairs(), PLAN)
    replace(CPU, accumulate=4).fit(asked, Pairs(), PLAN)
    assert identical(weights(whole.learner), weights(asked.learner))


def test_a_batch_has_one_part_or_more():
    with pytest.raises(InputError, match="1 part or more, not 0"):
        Trainer(accumulate=0)


def test_a_subclass_says_for_itself_whether_it_may_be_divided():
    class Changed(Regress):
        """Another loss, perhaps."""

    assert (Regress.divisible, Changed.divisible, Objective.divisible) == (True, False, False)


def test_a_lack_of_memory_halves_the_parts_until_they_fit_and_says_so():
    objective = Regress(room=2)
    with pytest.warns(UserWarning, match="--accumulate") as said:
        CPU.fit(objective, Numbers(), PLAN)
    assert [str(warning.message).partition(";")[0] for warning in said] == [
        "out of memory with 7 images at a time in 'training'",
        "out of memory with 4 images at a time in 'training'",
    ]
    assert objective._seen[:6] == [7, 4, 2, 2, 2, 1]


@pytest.mark.filterwarnings("ignore:out of memory")
def test_a_lack_of_memory_changes_nothing_but_the_parts(undivided):
    for name, value in trained(CPU, Regress(room=2)).items():
        torch.testing.assert_close(value, undivided[name], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:out of memory")
def test_a_repeated_step_draws_the_same_random_numbers():
    class Scarce(Remember, divisible=True):
        """Memory runs out in the second step, after the random number was drawn."""

        def forward(self, batch: Any) -> dict[str, Tensor]:
            terms = super().forward(batch)
            if len(self._drawn) == 2:
                raise torch.OutOfMemoryError("none left")
            return terms

    objective = Scarce()
    CPU.fit(objective, Numbers(), Plan(epochs=1, batch_size=4))
    _, failed, repeated, *_ = objective._drawn
    assert failed == repeated


@pytest.mark.filterwarnings("ignore:out of memory")
def test_batches_that_do_not_fit_in_pairs_of_images_are_given_up():
    with pytest.raises(RunError, match="2 images at a time in 'training', which cannot be divided"):
        CPU.fit(Regress(room=1), Numbers(), PLAN)


class _Whole(Objective):
    """Not divisible, and too large."""

    def __init__(self) -> None:
        super().__init__()
        self.learner = nn.Linear(4, 1)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        raise torch.OutOfMemoryError("none left")


def test_a_lack_of_memory_for_what_cannot_be_divided_says_what_to_do():
    with pytest.raises(RunError, match="use a smaller batch"):
        CPU.fit(_Whole(), Numbers(), PLAN)


@pytest.mark.parametrize(("images", "parts"), [(7, 1), (7, 3), (7, 7), (8, 4)])
def test_sizes_are_those_of_the_parts(images, parts):
    assert sizes_of(images, parts) == [len(part) for part in split(torch.arange(images), parts)]


def test_every_tensor_of_a_batch_is_split_alike():
    batch = {"images": torch.arange(5), "more": (torch.arange(5), [torch.arange(5)])}
    first, second = split(batch, 2)
    assert first["images"].tolist() == first["more"][0].tolist() == [0, 1, 2]
    assert second["images"].tolist() == second["more"][1][0].tolist() == [3, 4]


@pytest.mark.parametrize("divisible", [True, False])
def test_one_process_takes_the_whole_batch(divisible):
    part = own_part(torch.arange(5), divisible=divisible)
    assert (part.positions.tolist(), part.share, part.divided) == ([0, 1, 2, 3, 4], 1.0, False)
