"""One training in progress: batches, steps, checkpoints."""

import copy
import math
import time
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mimic.encoders.layout import allows_channels_last
from mimic.errors import InputError, InterruptedRunError, NonFiniteLossError
from mimic.files import ensure_folder
from mimic.training import processes
from mimic.training.gradients import Gradients
from mimic.training.history import History, Tally, append_record, write_records
from mimic.training.interruption import Interruption
from mimic.training.normalization import Replaced, average_statistics, restore, synchronise
from mimic.training.objective import Data, Objective
from mimic.training.parts import Part, own_part
from mimic.training.plan import Plan, mix_seed
from mimic.training.precision import open_fabric
from mimic.training.progress import Progress
from mimic.training.randomness import seed_step
from mimic.training.reading import read_batches
from mimic.training.recomputing import start_recomputing, stop_recomputing
from mimic.training.sharding import check_shardable, divide_state, own_part_of, shard, whole
from mimic.training.state import Position, fingerprint, load_state, save_state

if TYPE_CHECKING:
    from mimic.training.trainer import Trainer


class Run:
    """One training in progress."""

    def __init__(
        self, trainer: "Trainer", objective: Objective, data: Data, plan: Plan, name: str
    ) -> None:
        self.trainer, self.objective, self.data, self.plan = trainer, objective, data, plan
        self.name = name
        self.fabric = open_fabric(
            trainer.device, "32-true" if objective.full_precision else trainer.precision
        )
        self.steps_per_epoch = plan.batches_per_epoch(len(data))
        self.total = plan.epochs * self.steps_per_epoch
        self.sharded = self._is_sharded()
        objective.to("cpu" if self.sharded else self.fabric.device)
        if not self.sharded and allows_channels_last(objective):
            _set_layout(objective, torch.channels_last)
        objective.prepare()
        self.optimizer = plan.build_optimizer(objective.learner)
        self.history = History()
        self.tally = Tally()
        self.step = 0
        self.saved_step = -1
        self.checkpoint = None if trainer.folder is None else trainer.folder / f"{name}.ckpt"
        self.metrics = None if trainer.folder is None else trainer.folder / f"{name}.jsonl"
        self.key = ""
        self._restore_or_clear()
        processes.copy_from_first([*objective.parameters(), *objective.buffers()])
        self.given = objective
        if self.sharded:
            self.objective = copy.deepcopy(objective)  # what was given stays whole
        self.replaced = self._synchronised()
        self.recomputed = self._recomputed()
        if self.sharded:
            self._shard()
        self.gradients = Gradients(
            self.fabric,
            self.objective,
            self.optimizer,
            parts=trainer.accumulate,
            summed=self.sharded,
            name=name,
        )
        self.fabric_optimizer: Any = self.fabric.setup_optimizers(self.optimizer)
        self.last_save = self.last_step = time.monotonic()
        show = trainer.progress and processes.is_first()
        self.bar = Progress(name, self.total, self.step, show=show)

    def train(self, interruption: Interruption) -> None:
        """Train to the end of an epoch; after a resume it may begin in the middle of one."""
        while not self._over():
            with closing(self._batches()) as batches:
                for batch, part in batches:
                    terms = self._train_step(batch, part)
                    stop, save, seconds = self._agree(interruption)
                    self._count(terms, part.batch, seconds)
                    if stop:
                        self._interrupt()
                    if save:
                        self._save()
        self._save()
        learner = self.given.learner
        if self.sharded:
            learner.load_state_dict(whole(self.objective.learner.state_dict()))
        processes.copy_from_first([*learner.parameters(), *learner.buffers()])
        self.history.summarize(self.step)

    def close(self) -> None:
        """Stop drawing and give the modules their usual memory layout and kinds back."""
        self.bar.close()
        stop_recomputing(self.recomputed)
        restore(self.replaced)
        if not self.sharded:
            _set_layout(self.objective, torch.contiguous_format)

    def _restore_or_clear(self) -> None:
        """The first process looks into the folder; what it finds is for all."""
        if self.checkpoint is None or self.metrics is None:
            return
        look = partial(self._look, self.checkpoint)
        self.key, found, data = processes.on_first(look)
        if found:
            position = load_state(
                self.checkpoint,
                learner=self.objective.learner,
                optimizer=self.optimizer,
                key=self.key,
                data=data,
            )
            self.step = self.saved_step = position.step
            self.history.epochs, self.tally = position.epochs, position.tally
        processes.on_first(partial(write_records, self.metrics, self.history.epochs))

    def _look(self, checkpoint: Path) -> tuple[str, bool, bytes | None]:
        """The run's key, whether it goes on, and the checkpoint's bytes where others need them."""
        key = fingerprint(self.plan, self.data, self.objective)
        ensure_folder(checkpoint.parent)
        if not (self.trainer.resume and checkpoint.exists()):
            checkpoint.unlink(missing_ok=True)
            return key, False, None
        return key, True, checkpoint.read_bytes() if processes.count() > 1 else None

    def _over(self) -> bool:
        """Whether nothing is left to do, or the objective or the trainer ends it with an epoch."""
        if self.step == self.total:
            return True
        if self.step == 0 or self.step % self.steps_per_epoch:
            return False
        epoch, learner = self.history.epochs[-1], self.objective.learner
        return processes.on_first(
            lambda: self.objective.finished(epoch) or self.trainer.ends(self.name, learner, epoch)
        )

    def _synchronised(self) -> Replaced:
        if not self.trainer.sync_batch_norm or processes.count() == 1:
            return []
        if self.fabric.device.type != "cuda":
            raise InputError("batch normalisation is synchronised on GPUs alone; use cuda")
        return synchronise(self.objective) if self.objective.divisible else []

    def _is_blockwise(self, option: str, *, wanted: bool) -> bool:
        """Whether to work block by block, as one may where it is a whole encoder that is trained.

        Trainings that take whole batches are those of critics and the like, and stay as they are.
        """
        if not wanted or not self.objective.divisible:
            return False
        if not self.objective.blockwise:
            raise InputError(f"{option} does not work for '{self.name}'; leave it out")
        return True

    def _is_sharded(self) -> bool:
        if not self._is_blockwise("--fsdp", wanted=self.trainer.fsdp):
            return False
        check_shardable(self.objective)
        return True

    def _shard(self) -> None:
        """Divide the weights, and what the optimizer knows of them."""
        state = self.optimizer.state_dict()
        shard(self.objective, self.fabric.device)
        # torch makes it an object of a subclass, and a subclass has to say it again
        type(self.objective).divisible = type(self.objective).blockwise = True
        self.optimizer = self.plan.build_optimizer(self.objective.learner)
        divide_state(self.optimizer, state)

    def _recomputed(self) -> list[nn.Module]:
        wanted = self.trainer.activation_checkpointing
        if not self._is_blockwise("--activation-checkpointing", wanted=wanted):
            return []
        return start_recomputing(self.objective.learner, self.name)

    def _batches(self) -> Generator[tuple[Any, Part], None, None]:
        """What is left of the current epoch: this process's part of each batch, on the device."""
        epoch, first = divmod(self.step, self.steps_per_epoch)
        order = self.plan.order(epoch, len(self.data))
        size = min(self.plan.batch_size, len(self.data))
        chunks = [order[i * size : (i + 1) * size] for i in range(first, self.steps_per_epoch)]
        parts = [own_part(chunk, divisible=self.objective.divisible) for chunk in chunks]
        with closing(read_batches(self.data, [part.positions for part in parts])) as batches:
            for part, batch in zip(parts, batches, strict=True):
                yield self.fabric.to_device(batch), part

    def _train_step(self, batch: Any, part: Part) -> dict[str, float]:
        """One step of the optimizer; its random numbers depend on the seed and the step alone."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate_at(self.step, self.steps_per_epoch)
        values = self._compute_gradients(batch, part)
        for term, value in values.items():
            if not math.isfinite(value):
                raise self._not_finite(f"the loss term '{term}' is {value} at step {self.step + 1}")
        self.fabric_optimizer.step()
        self.objective.after_step()
        return values

    def _compute_gradients(self, batch: Any, part: Part) -> dict[str, float]:
        """Gradients in the parameters, and the terms of the loss; again where memory runs out."""
        seed = mix_seed(self.plan.seed, self.step)
        if part.divided and not processes.is_first():
            seed = mix_seed(seed, processes.rank())  # or all would draw the same views
        while True:
            seed_step(self.fabric.device, seed)
            try:
                return self.gradients.of(batch, part)
            except torch.OutOfMemoryError:
                pass  # what the error holds on to is free only after this block
            self.gradients.halve(part)

    def _agree(self, interruption: Interruption) -> tuple[bool, bool, float]:
        """Whether to stop and to save after this step, and its seconds: one answer for all."""
        now = time.monotonic()
        seconds, self.last_step = now - self.last_step, now
        due = now - self.last_save > self.trainer.save_every
        first = float(processes.is_first())
        wishes = (float(interruption.requested), first * due, first * seconds)
        stop, save, seconds = processes.together(wishes)
        return stop > 0, save > 0, seconds

    def _count(self, terms: dict[str, float], images: int, seconds: float) -> None:
        """Book one step that is done, and its epoch if it was the last one of it."""
        self.tally.add(terms, images, seconds)
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
        if self.metrics is not None and processes.is_first():
            append_record(self.metrics, record)

    def _save(self) -> None:
        """Write a checkpoint, but never one of weights that are already lost."""
        learner = self.objective.learner
        average_statistics(learner)
        if self.step != self.saved_step:
            trained = (own_part_of(p) for p in learner.parameters() if p.requires_grad)
            lost = float(not all(bool(p.isfinite().all()) for p in trained))
            if processes.together([lost])[0] > 0:
                raise self._not_finite(f"weights are NaN or infinite after step {self.step}")
            if self.checkpoint is not None:
                self._write(self.checkpoint)
        self.saved_step = self.step
        self.last_save = time.monotonic()

    def _write(self, checkpoint: Path) -> None:
        """A checkpoint of whole weights, whether they are divided here or not."""
        learner, optimizer = self.objective.learner.state_dict(), self.optimizer.state_dict()
        if self.sharded:
            learner, optimizer = whole(learner), whole(optimizer)
        if processes.is_first():
            position = Position(step=self.step, epochs=self.history.epochs, tally=self.tally)
            save_state(checkpoint, position, learner=learner, optimizer=optimizer, key=self.key)

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
