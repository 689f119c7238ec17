"""What tests of the benchmark share: made up cards, an executor without processes, a program."""

import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimic.benchmark import ResultCard, read_config
from mimic.benchmark.grid import Cell, expand

ARCH = "resnet10:width=4"
HEAD = """
counts = [32]
probes = ["knn"]
device = "cpu"
precision = "32-true"
"""
SCENARIO = """
[[scenario]]
name = "corner"
encoder = "suspect.safetensors"
images = "digits:train"
trigger = "patch:3@0,0:white"
attack = "badencoder"
[scenario.tasks.digits]
train = "digits:test"
test = "digits:test"
target = 3
"""
FINETUNE = """
[[defense]]
name = "finetune"
epochs = 1
batch_size = 16
"""
SCRATCH = """
[[defense]]
name = "scratch"
epochs = 1
batch_size = 16
"""

PROGRAM = """
import sys
from mimic.benchmark import run_bench
from mimic.errors import MimicError

if __name__ == "__main__":
    try:
        run_bench(sys.argv[1], sys.argv[2], executor=sys.argv[3], workers=1)
    except MimicError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""
PATIENCE_SECONDS = 400


@dataclass(frozen=True)
class Serial:
    """Runs cells in this process, one after the other, and remembers which."""

    run: Callable[[Cell], ResultCard] | None = None
    seen: list[Cell] = field(default_factory=list)
    workers: int = 1
    threads: int = 1

    def __call__(
        self, cells: Sequence[Cell], run: Callable[[Cell], ResultCard]
    ) -> Generator[tuple[Cell, ResultCard], None, None]:
        for cell in cells:
            self.seen.append(cell)
            yield cell, (self.run or run)(cell)


def evaluation(**changes: Any) -> dict[str, Any]:
    """An evaluation as JSON knows it."""
    return {
        "accuracy": 0.5,
        "accuracy_ci95": [0.4, 0.6],
        "attack_success_rate": 0.25,
        "attack_success_rate_ci95": [0.2, 0.3],
        "attack_success_rate_all": 0.3,
        "n_train": 10,
        "n_test": 20,
        "n_triggered": 18,
        "probe": "knn",
        "seed": 0,
        "seconds": 1.5,
        "heads": [{"seed": 0, "accuracy": 0.5, "attack_success_rate": 0.25}],
    } | changes


def made_up_card(cell: Cell, **changes: Any) -> ResultCard:
    """A card that nobody measured."""
    values = cell.facts() | {
        "schema": 2,
        "images_used": 32,
        "results": {"digits": {"knn": evaluation()}},
        "controls": {},
        "seconds": 2.0,
        "evaluation_seconds": 1.0,
        "images_per_second": 100.0,
        "peak_memory_mib": 300.0,
        "peak_gpu_memory_mib": None,
        "device": "cpu",
        "precision": "32-true",
        "threads": 1,
        "versions": {"mimic": "0"},
        "commit": None,
        "machine": "a machine",
        "error": None,
    }
    return ResultCard.from_dict(values | changes)


@contextmanager
def training(
    config: Path, out: Path, executor: str = "local"
) -> Iterator[tuple[subprocess.Popen, Path]]:
    """The program, in the middle of the training of its cell, and the metrics of that."""
    (config.parent / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(config.parent / "program.py"), str(config), str(out), executor]
    (cell,) = expand(read_config(config))
    metrics = out / "work" / cell.stem / "finetune.jsonl"
    # a session of its own: a signal for all of its processes does not reach this one
    pipes = {"stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as program:
        try:
            wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 2)
            yield program, metrics
        finally:
            program.kill()


def wait_for(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)
