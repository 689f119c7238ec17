"""Meter: a trainer that keeps the clock, so that a resumed defence costs what it cost in all."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

import mimic
from mimic.training import History, Objective, Plan, Trainer
from mimic.training.objective import Data


@dataclass(frozen=True, kw_only=True)
class Meter(Trainer):
    """A trainer that remembers its trainings.

    Attributes:
        fits: seconds on the clock and seconds in all, resumed parts included, of each training.
    """

    fits: list[tuple[float, float]] = field(default_factory=list)

    def fit(
        self, objective: Objective, data: Data, plan: Plan, *, name: str = "training"
    ) -> History:
        """Train as `Trainer` does, and write down how long it took."""
        started = time.monotonic()
        history = super().fit(objective, data, plan, name=name)
        now = time.monotonic() - started
        self.fits.append((now, max(now, history.seconds)))
        return history

    def total(self, seconds: float) -> float:
        """Seconds of work in all, where the clock shows `seconds` since this meter was made."""
        return seconds + sum(in_all - now for now, in_all in self.fits)


def peak_memory_mib() -> float | None:
    """Largest memory that this process has held so far, in MiB; None where nobody counts it."""
    # not getrusage alone: after a fork it starts at the memory of the parent
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def peak_gpu_memory_mib() -> float | None:
    """Largest memory of a GPU that this process has held so far, in MiB; None without one."""
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return max(
        torch.cuda.max_memory_allocated(index) / 2**20 for index in range(torch.cuda.device_count())
    )


def commit() -> str | None:
    """The commit of the checkout that mimic runs from, with "-dirty"; None outside of one."""
    root = Path(mimic.__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return None
    return done.stdout.strip() or None
