"""The one training loop: every learner of mimic is trained here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mimic.errors import InputError
from mimic.training import processes
from mimic.training.determinism import deterministic_algorithms, prepare_determinism
from mimic.training.history import History
from mimic.training.interruption import watch_signals
from mimic.training.objective import Data, Objective
from mimic.training.plan import Plan
from mimic.training.randomness import isolated_randomness
from mimic.training.run import Run

__all__ = ["History", "Trainer"]


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Where and how trainings run: device, precision, checkpoints, progress.

    In a job of several processes (torchrun) every process takes its part of each batch, whose size
    stays that of the plan. The first process alone touches `folder` and shows progress.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", or a precision of Lightning Fabric ("bf16-mixed", "32-true").
        folder: where checkpoints (NAME.ckpt) and metrics (NAME.jsonl) go; None keeps nothing.
        resume: continue from the checkpoints in `folder`; a finished training is not repeated.
        progress: show a progress bar on standard error.
        save_every: seconds between checkpoints.
        accumulate: parts that a batch is divided into, one after the other, for want of memory;
            losses that compare images, and batch normalisation, see one part at a time.
        sync_batch_norm: with several processes, let batch normalisation see the images of all;
            otherwise each sees its own, and their running statistics are averaged.
        activation_checkpointing: keep what goes into the blocks of a network and compute the rest
            again for the backward pass: less memory, a third more time, the same result.
        fsdp: with several processes, divide weights and the optimizer's state among them, and put
            one block at a time together. Weights are whole again at the end.
        deterministic: use no operation whose result may differ from run to run on one device.

    Raises:
        InputError: `accumulate` is below 1, or one process alone is to divide its weights.
    """

    device: str = "auto"
    precision: str = "auto"
    folder: Path | None = None
    resume: bool = False
    progress: bool = False
    save_every: float = 60.0
    accumulate: int = 1
    sync_batch_norm: bool = False
    activation_checkpointing: bool = False
    fsdp: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise InputError(f"a batch has 1 part or more, not {self.accumulate}")
        if self.fsdp and processes.launched() == 1:
            raise InputError(
                "--fsdp divides weights among several processes; start them by torchrun, or leave "
                "it out"
            )
        if self.deterministic:
            prepare_determinism()

    def fit(
        self, objective: Objective, data: Data, plan: Plan, *, name: str = "training"
    ) -> History:
        """Train `objective.learner` in place on `data`.

        On one CPU (and number of threads) the result depends on nothing but the plan's seed, also
        when the run was interrupted and resumed. Torch's random states are left as they were.
        All processes of a job end with the same weights. Where memory runs out, batches are divided
        into twice as many parts, and a warning says so.

        Args:
            objective: the loss and the modules.
            data: what is learned from.
            plan: epochs, optimizer, schedule, seed.
            name: of the checkpoint and metrics files, and of the progress bar.

        Raises:
            InputError: there is no data, the device or the precision is not available, weights
                cannot be divided, or a checkpoint to resume does not fit.
            NonFiniteLossError: a term of the loss is NaN or infinite; says which one and when.
            RunError: memory ran out and batches cannot be divided further, or an operation is not
                deterministic.
            InterruptedRunError: SIGINT or SIGTERM arrived; the state is saved if there is a folder.
        """
        if len(data) == 0:
            raise InputError("there is nothing to train on: the data holds no images")
        run = Run(self, objective, data, plan, name)
        with (
            isolated_randomness(run.fabric.device),
            deterministic_algorithms(wanted=self.deterministic),
            watch_signals() as interruption,
        ):
            try:
                run.train(interruption)
            finally:
                run.close()
        return run.history

    def ends(self, name: str, learner: nn.Module, epoch: Mapping[str, float]) -> bool:
        """Whether to end a training before the last epoch of its plan: never, unless a subclass
        says so.

        Asked after each epoch but the last one, by the first process alone, and again where a
        training is resumed.

        Args:
            name: of the training.
            learner: as it is after the epoch, in training mode; to be left as it is. With `fsdp`
                its weights are divided.
            epoch: the record of the epoch; see `History`.
        """
        return False
