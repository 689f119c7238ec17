"""A benchmark in a program of its own, told to stop or killed, goes on where it was."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mimic.benchmark import load_cards, read_config, run_bench
from mimic.benchmark.grid import expand

from .support import FINETUNE, HEAD, SCENARIO, Serial

PROGRAM = """
import sys
from mimic.benchmark import run_bench
from mimic.errors import MimicError

if __name__ == "__main__":
    try:
        run_bench(sys.argv[1], sys.argv[2], workers=1)
    except MimicError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""
PATIENCE_SECONDS = 400
EPOCHS = 250
"""So many that no machine is done before the signal arrives."""


@pytest.fixture
def config(write) -> Path:
    return write(HEAD, SCENARIO, FINETUNE.replace("epochs = 1", f"epochs = {EPOCHS}"))


@contextmanager
def training(config: Path, out: Path) -> Iterator[tuple[subprocess.Popen, Path]]:
    """The program, in the middle of the training of its cell, and the metrics of that."""
    (config.parent / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(config.parent / "program.py"), str(config), str(out)]
    (cell,) = expand(read_config(config))
    metrics = out / "work" / cell.stem / "finetune.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        try:
            wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 2)
            yield program, metrics
        finally:
            program.kill()


def wait_for(reached) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_benchmark_that_is_told_to_stop_saves_and_goes_on(config, tmp_path):
    out = tmp_path / "out"
    with training(config, out) as (program, metrics):
        program.send_signal(signal.SIGINT)
        _, error = program.communicate(timeout=PATIENCE_SECONDS)
    assert program.returncode == 130
    assert "interrupted; 0 of 1 cells have a card" in error
    assert "Traceback" not in error
    assert metrics.with_suffix(".ckpt").exists()
    (card,) = run_bench(config, out, executor=Serial())
    assert card.error is None
    assert not (out / "work").exists()


def test_a_benchmark_that_is_killed_leaves_no_process_and_no_lock(config, tmp_path):
    out = tmp_path / "out"
    with training(config, out) as (program, metrics):
        program.kill()
        program.wait()
        wait_for(lambda: is_still(metrics))
    assert metrics.read_text().count("\n") < EPOCHS
    run_bench(config, out, executor=Serial())
    assert [card.failed for card in load_cards(out)] == [False]


def is_still(metrics: Path) -> bool:
    """Whether nobody trains any more: a step takes a small part of this time."""
    before = metrics.stat().st_size
    time.sleep(2.0)
    return metrics.stat().st_size == before
