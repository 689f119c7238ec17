"""The one training loop: every learner of mimic is trained here."""

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mimic.errors import InputError, InterruptedRunError, NonFiniteLossError
from mimic.files import ensure_folder
from mimic.training.history import History, Tally, append_record, write_records
from mimic.training.interruption import Interruption, watch_signals
from mimic.training.objective import Data, Objective
from mimic.training.plan import Plan, mix_seed
from mimic.training.precision import open_fabric
from mimic.training.progress import Progress
from mimic.training.randomness import isolated_randomness, seed_step
from mimic.training.reading import read_batches
from mimic.training.state import Position, fingerprint, load_state, save_state

__all__ = ["History", "Trainer"]


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Where and how trainings run: device, precision, checkpoints, progress.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", or a precision of Lightning Fabric ("bf16-mixed", "32-true").
        folder: where checkpoints (NAME.ckpt) and metrics (NAME.jsonl) go; None keeps nothing.
        resume: continue from the checkpoints in `folder`; a finished training is not repeated.
        progress: show a progress bar on standard error.
        save_every: seconds between checkpoints.
    """

    device: str = "auto"
    precision: str = "auto"
    folder: Path | None = None
    resume: bool = False
    progress: bool = False
    save_every: float = 60.0

    def fit(
        self, objective: Objective, data: Data, plan: Plan, *, name: str = "training"
    ) -> History:
        """Train `objective.learner` in place on `data`.

        On one CPU (and number of threads) the result depends on nothing but the plan's seed, also
        when the run was interrupted and resumed. Torch's random states are left as they were.

        Args:
            objective: the loss and the modules.
            data: what is learned from.
            plan: epochs, optimizer, schedule, seed.
            name: of the checkpoint and metrics files, and of the progress bar.

        Raises:
            InputError: there is no data, the device or the precision is not available, or a
                checkpoint to resume does not fit.
            NonFiniteLossError: a term of the loss is NaN or infinite; says which one and when.
            InterruptedRunError: SIGINT or SIGTERM arrived; the state is saved if there is a folder.
        """
        if len(data) == 0:
            raise InputError("there is nothing to train on: the data holds no images")
        run = _Run(self, objective, data, plan, name)
        with isolated_randomness(run.fabric.device), watch_signals() as interruption:
            try:
                run.train(interruption)
            finally:
                run.close()
        return run.history


class _Run:
    """One training in progress."""

    def __init__(
        self, trainer: Trainer, objective: Objective, data: Data, plan: Plan, name: str
    ) -> None:
        self.trainer, self.objective, self.data, self.plan = trainer, objective, data, plan
        self.name = name
        self.fabric = open_fabric(
            trainer.device, "32-true" if objective.full_precision else trainer.precision
        )
        self.steps_per_epoch = plan.batches_per_epoch(len(data))
        self.total = plan.epochs * self.steps_per_epoch
        objective.to(self.fabric.device)
        _set_layout(objective, torch.channels_last)
        objective.prepare()
        self.optimizer = plan.build_optimizer(objective.learner)
        self.history = History()
        self.tally = Tally()
        self.step = 0
        self.saved_step = -1
        self.checkpoint = None if trainer.folder is None else trainer.folder / f"{name}.ckpt"
        self.metrics = None if trainer.folder is None else trainer.folder / f"{name}.jsonl"
        self.key = "" if self.checkpoint is None else fingerprint(plan, data, objective)
        self._restore_or_clear()
        self.wrapped = self.fabric.setup_module(objective, move_to_device=False)
        self.fabric_optimizer: Any = self.fabric.setup_optimizers(self.optimizer)
        self.last_save = self.last_step = time.monotonic()
        self.bar = Progress(name, self.total, self.step, show=trainer.progress)

    def train(self, interruption: Interruption) -> None:
        """Train to the end of an epoch; after a resume it may begin in the middle of one."""
        while not self._over():
            with closing(self._batches()) as batches:
                for batch, size in batches:
                    self._count(self._train_step(batch), size)
                    if interruption.requested:
                        self._interrupt()
                    if time.monotonic() - self.last_save > self.trainer.save_every:
                        self._save()
        self._save()
        self.history.summarize(self.step)

    def close(self) -> None:
        """Stop drawing and give the modules their usual memory layout back."""
        self.bar.close()
        _set_layout(self.objective, torch.contiguous_format)

    def _restore_or_clear(self) -> None:
        if self.checkpoint is None or self.metrics is None:
            return
        ensure_folder(self.checkpoint.parent)
        if self.trainer.resume and self.checkpoint.exists():
            position = load_state(
                self.checkpoint,
                learner=self.objective.learner,
                optimizer=self.optimizer,
                key=self.key,
            )
            self.step = self.saved_step = position.step
            self.history.epochs, self.tally = position.epochs, position.tally
        else:
            self.checkpoint.unlink(missing_ok=True)
        write_records(self.metrics, self.history.epochs)

    def _over(self) -> bool:
        """Whether nothing is left to do, or the objective is content with a whole epoch."""
        if self.step == self.total:
            return True
        whole = self.step > 0 and self.step % self.steps_per_epoch == 0
        return whole and self.objective.finished(self.history.epochs[-1])

    def _batches(self) -> Generator[tuple[Any, int], None, None]:
        """What is left of the current epoch: batches on the device, with their sizes."""
        epoch, first = divmod(self.step, self.steps_per_epoch)
        order = self.plan.order(epoch, len(self.data))
        size = min(self.plan.batch_size, len(self.data))
        chunks = [order[i * size : (i + 1) * size] for i in range(first, self.steps_per_epoch)]
        with closing(read_batches(self.data, chunks)) as batches:
            for chunk, batch in zip(chunks, batches, strict=True):
                yield self.fabric.to_device(batch), len(chunk)

    def _train_step(self, batch: Any) -> dict[str, float]:
        """One step of the optimizer; its random numbers depend on the seed and the step alone."""
        seed_step(self.fabric.device, mix_seed(self.plan.seed, self.step))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate_at(self.step, self.steps_per_epoch)
        terms: dict[str, Tensor] = self.wrapped(batch)
        loss = torch.stack([term.float() for term in terms.values()])
        values = dict(zip(terms, loss.tolist(), strict=True))
        for term, value in values.items():
            if not math.isfinite(value):
                raise self._not_finite(f"the loss term '{term}' is {value} at step {self.step + 1}")
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss.sum())
        self.fabric_optimizer.step()
        self.objective.after_step()
        return values

    def _count(self, terms: dict[str, float], images: int) -> None:
        """Book one step that is done, and its epoch if it was the last one of it."""
        now = time.monotonic()
        self.tally.add(terms, images, now - self.last_step)
        self.last_step = now
        self.step += 1
        self.bar.advance(self.tally.loss)
        if self.step % self.steps_per_epoch:
            return
        record = self.tally.record(
            epoch=self.step // self.steps_per_epoch,
            step=self.step,
            learning_rate=self.optimizer.param_groups[0]["lr"],
        )
        self.tally = Tally()
        self.history.epochs.append(record)
        if self.metrics is not None:
            append_record(self.metrics, record)

    def _save(self) -> None:
        """Write a checkpoint, but never one of weights that are already lost."""
        trained = (p for p in self.objective.learner.parameters() if p.requires_grad)
        if self.step != self.saved_step and not all(bool(p.isfinite().all()) for p in trained):
            raise self._not_finite(f"weights are NaN or infinite after step {self.step}")
        if self.checkpoint is not None and self.step != self.saved_step:
            save_state(
                self.checkpoint,
                Position(step=self.step, epochs=self.history.epochs, tally=self.tally),
                learner=self.objective.learner,
                optimizer=self.optimizer,
                key=self.key,
            )
        self.saved_step = self.step
        self.last_save = time.monotonic()

    def _not_finite(self, what: str) -> NonFiniteLossError:
        saved = self.checkpoint is not None and self.checkpoint.exists()
        return NonFiniteLossError(
            f"{what} of '{self.name}'; lower the learning rate or use --precision 32-true"
            + (f"; the last good state is in '{self.checkpoint}'" if saved else "")
        )

    def _interrupt(self) -> None:
        self._save()
        where = f"saved in '{self.checkpoint}'; the same command with --resume continues"
        raise InterruptedRunError(
            f"interrupted at step {self.step} of {self.total} of '{self.name}'; "
            + (where if self.checkpoint is not None else "nothing was saved")
        )


def _set_layout(module: nn.Module, layout: torch.memory_format) -> None:
    """Convolution weights in `layout`; the values stay as they are."""
    module.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's overloads
