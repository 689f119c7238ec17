"""Processes of one job: which one this is, how many there are, and what they tell one another.

torchrun starts them, on one machine or on several. All run the same program; the first one alone
speaks and touches files.
"""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from mimic.errors import MimicError

T = TypeVar("T")

_BUCKET_BYTES = 1 << 25


def launched() -> int:
    """How many processes torchrun started for this job; 1 where it started none."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 1
    return int(os.environ.get("WORLD_SIZE", "1"))


def place_on_machine() -> int:
    """The number of this process on its machine, which is that of its GPU, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if launched() > 1 else 0


def join(accelerator: str) -> None:
    """Meet the other processes, if there are any; a second call does nothing.

    Args:
        accelerator: "cpu" or "cuda": GPUs talk by NCCL, all else by gloo.
    """
    if launched() == 1 or distributed.is_initialized():
        return
    if accelerator == "cuda":
        torch.cuda.set_device(place_on_machine())
    distributed.init_process_group("cpu:gloo,cuda:nccl" if accelerator == "cuda" else "gloo")
    atexit.register(distributed.destroy_process_group)


def count() -> int:
    """How many processes have met; 1 before `join`."""
    return distributed.get_world_size() if launched() > 1 and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if count() > 1 else 0


def is_first() -> bool:
    """Whether this process is the one that speaks and touches files."""
    return rank() == 0


def on_first(work: Callable[[], T]) -> T:
    """Do something in the first process alone, and give its result to all.

    Args:
        work: gives something that can be pickled.

    Raises:
        MimicError, OSError: whatever `work` raised of these, in every process.
    """
    if count() == 1:
        return work()
    outcome: list[Any] = [None, None]
    if is_first():
        try:
            outcome[0] = work()
        except (MimicError, OSError) as error:
            outcome[1] = error
    distributed.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def from_first(value: T) -> T:
    """What the first process has, in every process; of a kind that can be pickled."""
    return on_first(lambda: value)


def together(numbers: Sequence[float]) -> list[float]:
    """The sums over all processes of as many numbers in each."""
    if count() == 1:
        return list(numbers)
    sums = torch.tensor(numbers, dtype=torch.float64)
    distributed.all_reduce(sums)
    return sums.tolist()


def sum_over_processes(tensors: Iterable[Tensor]) -> None:
    """Put the sum over all processes in the place of each tensor."""
    _in_place(tensors, distributed.all_reduce)


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Put what the first process has in the place of each tensor."""
    _in_place(tensors, lambda flat: distributed.broadcast(flat, src=0))


@torch.no_grad()
def _in_place(tensors: Iterable[Tensor], operation: Callable[[Tensor], object]) -> None:
    """Few large messages: tensors of a kind travel as one."""
    if count() == 1:
        return
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        operation(flat)
        parts = flat.split([tensor.numel() for tensor in bucket])
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or size + tensor.nbytes > _BUCKET_BYTES):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket
