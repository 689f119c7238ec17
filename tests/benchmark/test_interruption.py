"""A benchmark in a program of its own, told to stop or killed, goes on where it was."""

import os
import signal
import time
from pathlib import Path

import pytest

from mimic.benchmark import load_cards, run_bench

from .support import FINETUNE, HEAD, PATIENCE_SECONDS, SCENARIO, Serial, training, wait_for

EPOCHS = 250
"""So many that no machine is done before the signal arrives."""


@pytest.fixture
def config(write) -> Path:
    return write(HEAD, SCENARIO, FINETUNE.replace("epochs = 1", f"epochs = {EPOCHS}"))


@pytest.fixture(params=["local", "ray"])
def executor(request) -> str:
    if request.param == "ray":
        pytest.importorskip("ray")
    return request.param


def test_a_benchmark_that_is_told_to_stop_saves_and_goes_on(config, executor, tmp_path):
    out = tmp_path / "out"
    with training(config, out, executor) as (program, metrics):
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        _, error = program.communicate(timeout=PATIENCE_SECONDS)
    assert program.returncode == 130
    assert "interrupted; 0 of 1 cells have a card" in error
    assert "Traceback" not in error
    assert metrics.with_suffix(".ckpt").exists()
    (card,) = run_bench(config, out, executor=Serial())
    assert card.error is None
    assert not (out / "work").exists()


def test_a_benchmark_that_is_killed_leaves_no_process_and_no_lock(config, executor, tmp_path):
    out = tmp_path / "out"
    with training(config, out, executor) as (program, metrics):
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
