"""Gradients of a step: over the parts of a batch that memory allows, and over all processes."""

import gc
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mimic.errors import RunError
from mimic.training import processes
from mimic.training.joint import divided_batch
from mimic.training.objective import Objective
from mimic.training.parts import Part, sizes_of, split

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_FEWEST = 2
"""Images of a part that is not divided further: batch normalisation needs two."""


class Gradients:
    """Leaves the gradients of a whole batch in the parameters.

    Args:
        fabric: device and precision.
        objective: on the device.
        optimizer: its parameters get the gradients.
        parts: number of parts that a batch is divided into; more after an out-of-memory.
        summed: the gradients that a backward pass leaves are already those of all processes.
        name: of the training, for messages.
    """

    def __init__(
        self,
        fabric: "Fabric",
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        *,
        parts: int,
        summed: bool,
        name: str,
    ) -> None:
        self.fabric, self.objective, self.optimizer = fabric, objective, optimizer
        self.wrapped = fabric.setup_module(objective, move_to_device=False)
        self.parts, self.summed, self.name = parts, summed, name

    def of(self, batch: Any, part: Part) -> dict[str, float]:
        """Compute them anew, and return the terms of the loss as means over the whole batch.

        Raises:
            torch.OutOfMemoryError: as `halve` takes it.
        """
        self.optimizer.zero_grad(set_to_none=True)
        terms: Sequence[str] = ()
        totals = torch.zeros(0)
        sizes = sizes_of(len(part.positions), self._parts_of(part))
        with divided_batch(divided=part.divided):
            for piece, size in zip(split(batch, len(sizes)), sizes, strict=True):
                found: dict[str, Tensor] = self.wrapped(piece)
                losses = torch.stack([term.float() for term in found.values()])
                weight = part.share * size / len(part.positions)
                weighted = losses if weight == 1 else weight * losses
                self.fabric.backward(weighted.sum())
                terms = list(found)
                totals = weighted.detach() if len(totals) == 0 else totals + weighted.detach()
        return dict(zip(terms, self._share(totals.tolist()), strict=True))

    def halve(self, part: Part) -> None:
        """After an out-of-memory: divide batches into twice as many parts from now on.

        Raises:
            RunError: they cannot be divided further.
        """
        before = self._parts_of(part)
        images = -(-len(part.positions) // before)
        after = 2 * before
        what = f"out of memory with {images} images at a time in '{self.name}'"
        if processes.count() > 1:
            raise RunError(
                f"{what} in process {processes.rank()}; use --accumulate {after} or a smaller batch"
            )
        if not self.objective.divisible or images < 2 * _FEWEST:
            raise RunError(f"{what}, which cannot be divided further; use a smaller batch")
        self.parts = after
        warnings.warn(
            f"{what}; batches are divided into {after} parts from now on, as by --accumulate "
            f"{after}",
            stacklevel=1,
        )
        self.optimizer.zero_grad(set_to_none=True)
        self.objective.prepare()
        gc.collect()
        if self.fabric.device.type == "cuda":
            torch.cuda.empty_cache()

    def _parts_of(self, part: Part) -> int:
        return min(self.parts, part.smallest) if self.objective.divisible else 1

    def _share(self, values: list[float]) -> list[float]:
        """Add gradients and values up over all processes; a gradient that nobody has stays away.

        Where every process has done the whole work, the values alone become those of all.
        """
        if processes.count() == 1:
            return values
        if not self.objective.divisible:
            return [value / processes.count() for value in processes.together(values)]
        if self.summed:
            return processes.together(values)
        own = [p for group in self.optimizer.param_groups for p in group["params"]]
        sums = processes.together([*values, *(float(p.grad is not None) for p in own)])
        holders = sums[len(values) :]
        needed = [p for p, many in zip(own, holders, strict=True) if many > 0]
        for parameter in needed:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        processes.sum_over_processes([p.grad for p in needed if p.grad is not None])
        return sums[: len(values)]
