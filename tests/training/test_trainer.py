"""The loop: exact resume, interruption, NaN guard, untouched surroundings."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mimic.errors import InputError, InterruptedRunError, NonFiniteLossError
from mimic.training import Objective, Plan, Trainer

from .support import Classify, Pairs, identical, weights

PLAN = Plan(epochs=3, batch_size=8, learning_rate=0.01, warmup_epochs=0.5)
STEPS_PER_EPOCH = 6
STEPS = 18
CPU = Trainer(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Tensor]:
    objective = Classify()
    CPU.fit(objective, Pairs(), PLAN)
    return weights(objective.learner)


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return replace(CPU, folder=tmp_path, resume=True)


def interrupt(trainer: Trainer, step: int, number: int = signal.SIGTERM, plan: Plan = PLAN) -> None:
    with pytest.raises(InterruptedRunError):
        trainer.fit(Classify(signal_at=step, number=number), Pairs(), plan)


def records(trainer: Trainer) -> list[dict[str, float]]:
    assert trainer.folder is not None
    text = (trainer.folder / "training.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("step", [1, 4, STEPS_PER_EPOCH, 11, STEPS])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_resumed_training_ends_bit_identical(trainer, uninterrupted, step, number):
    interrupt(trainer, step, number)
    objective = Classify()
    trainer.fit(objective, Pairs(), PLAN)
    assert identical(weights(objective.learner), uninterrupted)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_state_of_every_optimizer_survives_an_interruption(trainer, optimizer):
    plan = replace(PLAN, optimizer=optimizer, weight_decay=0.01)
    whole, resumed = Classify(), Classify()
    CPU.fit(whole, Pairs(), plan)
    interrupt(trainer, 7, plan=plan)
    trainer.fit(resumed, Pairs(), plan)
    assert identical(weights(whole.learner), weights(resumed.learner))


def test_a_training_interrupted_twice_ends_bit_identical(trainer, uninterrupted):
    interrupt(trainer, 2)
    interrupt(trainer, 7)
    objective = Classify()
    trainer.fit(objective, Pairs(), PLAN)
    assert identical(weights(objective.learner), uninterrupted)


def test_training_learns():
    history = CPU.fit(Classify(), Pairs(), replace(PLAN, epochs=30, warmup_epochs=0))
    assert history.epochs[-1]["classes"] < 0.7 * history.epochs[0]["classes"]


def test_the_same_seed_gives_the_same_weights(uninterrupted):
    objective = Classify()
    CPU.fit(objective, Pairs(), PLAN)
    assert identical(weights(objective.learner), uninterrupted)


def test_another_seed_gives_other_weights(uninterrupted):
    objective = Classify()
    CPU.fit(objective, Pairs(), replace(PLAN, seed=1))
    assert not identical(weights(objective.learner), uninterrupted)


def test_the_result_does_not_depend_on_the_global_random_state(uninterrupted):
    objective = Classify()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        CPU.fit(objective, Pairs(), PLAN)
    assert identical(weights(objective.learner), uninterrupted)


def test_saving_often_does_not_change_the_result(trainer, uninterrupted):
    objective = Classify()
    replace(trainer, save_every=0.0).fit(objective, Pairs(), PLAN)
    assert identical(weights(objective.learner), uninterrupted)


def test_streamed_data_gives_the_result_of_data_in_memory(uninterrupted):
    objective = Classify()
    CPU.fit(objective, Pairs(streamed=True), PLAN)
    assert identical(weights(objective.learner), uninterrupted)


def test_a_streamed_training_can_be_interrupted(trainer, uninterrupted):
    with pytest.raises(InterruptedRunError):
        trainer.fit(Classify(signal_at=4), Pairs(streamed=True), PLAN)
    objective = Classify()
    trainer.fit(objective, Pairs(streamed=True), PLAN)
    assert identical(weights(objective.learner), uninterrupted)


def test_resuming_a_finished_training_takes_no_step(trainer, uninterrupted):
    trainer.fit(Classify(), Pairs(), PLAN)
    again = Classify(signal_at=1)
    trainer.fit(again, Pairs(), PLAN)
    assert again._steps == 0
    assert identical(weights(again.learner), uninterrupted)


def test_resuming_a_finished_training_writes_no_checkpoint(trainer):
    trainer.fit(Classify(), Pairs(), PLAN)
    before = (trainer.folder / "training.ckpt").stat().st_mtime_ns
    trainer.fit(Classify(), Pairs(), PLAN)
    assert (trainer.folder / "training.ckpt").stat().st_mtime_ns == before


def test_resuming_a_finished_training_gives_its_history(trainer):
    first = trainer.fit(Classify(), Pairs(), PLAN)
    assert trainer.fit(Classify(), Pairs(), PLAN) == first


def test_without_resume_a_training_starts_anew(trainer):
    interrupt(trainer, 4)
    again = Classify()
    replace(trainer, resume=False).fit(again, Pairs(), PLAN)
    assert again._steps == STEPS


@pytest.mark.parametrize(
    ("objective", "data", "plan"),
    [
        (Classify(), Pairs(), replace(PLAN, learning_rate=0.02)),
        (Classify(), Pairs(), replace(PLAN, seed=1)),
        (Classify(), Pairs(count=40), PLAN),
        (Classify(distance_weight=0.2), Pairs(), PLAN),
    ],
    ids=["learning rate", "seed", "images", "weight of a term"],
)
def test_a_checkpoint_of_other_settings_is_refused(trainer, objective, data, plan):
    interrupt(trainer, 4)
    with pytest.raises(InputError, match="other settings"):
        trainer.fit(objective, data, plan)


def test_other_labels_of_as_many_images_are_refused(trainer):
    interrupt(trainer, 4)
    data = Pairs()
    data.labels = (data.labels + 1) % 3
    with pytest.raises(InputError, match="other settings"):
        trainer.fit(Classify(), data, PLAN)


def test_a_damaged_checkpoint_is_refused(trainer):
    interrupt(trainer, 4)
    path = trainer.folder / "training.ckpt"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be resumed"):
        trainer.fit(Classify(), Pairs(), PLAN)


def test_a_loss_that_is_not_finite_names_its_term_and_step():
    with pytest.raises(NonFiniteLossError, match=r"'distance' is nan at step 5 of 'students'"):
        CPU.fit(Classify(spoil_at=5), Pairs(), PLAN, name="students")


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(trainer, uninterrupted):
    with pytest.raises(NonFiniteLossError, match=r"training\.ckpt"):
        replace(trainer, save_every=0.0).fit(Classify(spoil_at=5), Pairs(), PLAN)
    objective = Classify()
    trainer.fit(objective, Pairs(), PLAN)
    assert objective._steps == STEPS - 4
    assert identical(weights(objective.learner), uninterrupted)


class _Overflow(Classify):
    """Weights become NaN in step 3 although its loss is finite."""

    def after_step(self) -> None:
        if self._steps == 3:
            with torch.no_grad():
                self.learner[0].weight.fill_(float("nan"))


def test_weights_that_are_not_finite_are_never_saved(trainer):
    with pytest.raises(NonFiniteLossError, match="after step 3"):
        replace(trainer, save_every=0.0).fit(_Overflow(), Pairs(), PLAN)
    state = torch.load(trainer.folder / "training.ckpt", weights_only=True)
    assert state["step"] == 2


def test_weights_that_are_not_finite_are_never_returned():
    with pytest.raises(NonFiniteLossError, match="after step 3"):
        CPU.fit(_Overflow(), Pairs(count=24), replace(PLAN, epochs=1))


def test_the_error_of_a_fresh_run_does_not_point_to_an_older_checkpoint(trainer):
    trainer.fit(Classify(), Pairs(), PLAN)
    with pytest.raises(NonFiniteLossError) as caught:
        replace(trainer, resume=False).fit(Classify(spoil_at=1), Pairs(), PLAN)
    assert "last good state" not in str(caught.value)


def test_the_global_random_state_is_untouched():
    before = torch.get_rng_state()
    CPU.fit(Classify(), Pairs(), PLAN)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_random_state_is_untouched_by_an_interrupted_training(trainer):
    before = torch.get_rng_state()
    interrupt(trainer, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_there_is_one_record_per_epoch(trainer):
    trainer.fit(Classify(), Pairs(), PLAN)
    assert [record["epoch"] for record in records(trainer)] == [1, 2, 3]


@pytest.mark.parametrize("step", [4, STEPS_PER_EPOCH, 8, STEPS])
def test_there_is_one_record_per_epoch_after_a_resume(trainer, step):
    interrupt(trainer, step)
    trainer.fit(Classify(), Pairs(), PLAN)
    assert [(record["epoch"], record["step"]) for record in records(trainer)] == [
        (1, 6),
        (2, 12),
        (3, 18),
    ]


def test_records_after_a_resume_are_those_of_an_uninterrupted_training(trainer):
    whole = CPU.fit(Classify(), Pairs(), PLAN)
    interrupt(trainer, 8)
    resumed = trainer.fit(Classify(), Pairs(), PLAN)
    for ours, theirs in zip(resumed.epochs, whole.epochs, strict=True):
        for key in ("classes", "distance", "learning_rate"):
            assert ours[key] == theirs[key]


def test_a_line_that_a_crash_cut_short_does_not_matter(trainer):
    interrupt(trainer, 8)
    with (trainer.folder / "training.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    trainer.fit(Classify(), Pairs(), PLAN)
    assert [record["epoch"] for record in records(trainer)] == [1, 2, 3]


def test_metrics_written_after_the_last_checkpoint_are_not_repeated(trainer):
    interrupt(trainer, 8)
    kept = (trainer.folder / "training.ckpt").read_bytes()
    trainer.fit(Classify(), Pairs(), PLAN)
    (trainer.folder / "training.ckpt").write_bytes(kept)
    trainer.fit(Classify(), Pairs(), PLAN)
    assert [record["epoch"] for record in records(trainer)] == [1, 2, 3]


def test_the_history_on_disk_is_the_one_returned(trainer):
    history = trainer.fit(Classify(), Pairs(), PLAN)
    assert records(trainer) == history.epochs


class _Mean(Objective):
    """A loss whose mean over an epoch is known: the mean of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.learner = nn.Linear(1, 1)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"mean": batch.mean() + 0 * self.learner.weight.sum()}


class _Numbers:
    streamed = False

    def __len__(self) -> int:
        return 10

    def batch(self, positions: Tensor) -> Tensor:
        return positions.float()


def test_the_mean_of_an_epoch_counts_every_image_alike():
    plan = Plan(epochs=1, batch_size=4, drop_last=False)
    history = CPU.fit(_Mean(), _Numbers(), plan)
    assert history.epochs[0]["mean"] == pytest.approx(4.5)


def test_the_speed_counts_the_images_that_were_seen():
    history = CPU.fit(_Mean(), _Numbers(), Plan(epochs=2, batch_size=4))
    assert history.images_per_second * history.seconds == pytest.approx(16)


def test_the_time_before_an_interruption_is_counted(trainer):
    interrupt(trainer, 4)
    state = torch.load(trainer.folder / "training.ckpt", weights_only=True)
    history = trainer.fit(Classify(), Pairs(), PLAN)
    assert history.epochs[0]["seconds"] > state["tally"]["seconds"] > 0
    assert history.images_per_second * history.seconds == pytest.approx(STEPS * 8)


def test_a_frozen_teacher_is_bit_identical_afterwards():
    objective = Classify()
    before = weights(objective.teacher)
    CPU.fit(objective, Pairs(), PLAN)
    assert identical(weights(objective.teacher), before)


def test_no_epochs_change_nothing():
    objective = Classify()
    before = weights(objective.learner)
    CPU.fit(objective, Pairs(), replace(PLAN, epochs=0))
    assert identical(weights(objective.learner), before)


def test_no_data_is_refused():
    with pytest.raises(InputError, match="nothing to train on"):
        CPU.fit(Classify(), Pairs(count=0), PLAN)


class _SeesPrecision(_Mean):
    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        self._seen = (self.learner(batch[:, None])).dtype
        return super().forward(batch)


@pytest.mark.parametrize(
    ("full", "expected"), [(True, torch.float32), (False, torch.bfloat16)], ids=["full", "mixed"]
)
def test_an_objective_that_needs_full_precision_gets_it(full, expected):
    objective = _SeesPrecision()
    objective.full_precision = full
    trainer = Trainer(device="cpu", precision="bf16-mixed")
    trainer.fit(objective, _Numbers(), Plan(epochs=1, batch_size=4))
    assert objective._seen == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [0, 3], ids=["finished", "interrupted"])
def test_signal_handlers_are_put_back(trainer, number, step):
    def handler(_number: int, _frame: object) -> None: ...

    previous = signal.signal(number, handler)
    try:
        if step:
            interrupt(trainer, step, number)
        else:
            trainer.fit(Classify(), Pairs(), PLAN)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, previous)


def test_an_interruption_says_where_the_state_is_and_how_to_go_on(trainer):
    with pytest.raises(InterruptedRunError, match=r"step 4 of 18 .*training\.ckpt.*--resume"):
        trainer.fit(Classify(signal_at=4), Pairs(), PLAN)


def test_an_interruption_without_a_folder_says_that_nothing_was_saved():
    with pytest.raises(InterruptedRunError, match="nothing was saved"):
        CPU.fit(Classify(signal_at=4), Pairs(), PLAN)


def test_weights_have_their_usual_memory_layout_afterwards(trainer):
    objective = Classify(signal_at=4)
    with pytest.raises(InterruptedRunError):
        trainer.fit(objective, Pairs(), PLAN)
    assert all(parameter.is_contiguous() for parameter in objective.parameters())


def test_progress_goes_to_standard_error_alone(capsys):
    replace(CPU, progress=True, precision="bf16-mixed").fit(Classify(), Pairs(), PLAN)
    assert capsys.readouterr().out == ""
