"""Processes on this machine: cards come back, deaths are told, and nobody is left behind."""

import importlib
import multiprocessing
import os
from types import ModuleType

import pytest

from mimic.benchmark import Cluster
from mimic.benchmark import local as module
from mimic.benchmark.local import Local, local
from mimic.errors import InputError, InterruptedRunError, RunError

RUNS = '''
"""Ways to run a cell that a new process can import."""
import os, signal, time
from pathlib import Path
from mimic.benchmark.cells import failed
from mimic.errors import InterruptedRunError, RunError

def answer_or_die(cell):
    print("at work on", cell.label, flush=True)
    if cell.label == "scratch":
        os.kill(os.getpid(), signal.SIGKILL)
    return failed(cell, RunError(f"from process {os.getpid()}"))

def answer_or_wait(cell):
    mark = Path(__file__).with_name("started")
    if cell.label == "finetune":
        while not mark.exists():
            time.sleep(0.05)
        return failed(cell, RunError("no"))
    mark.touch()
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        mark.with_name("saved").touch()
        raise

def full(cell):
    raise RunError("the disk is full")

def interrupted(cell):
    raise InterruptedRunError("somebody else said so")
'''


@pytest.fixture
def runs(tmp_path, monkeypatch) -> ModuleType:
    (tmp_path / "ways_to_run.py").write_text(RUNS)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.reload(importlib.import_module("ways_to_run"))


def executor(tmp_path, **settings: int) -> Local:
    return Local(**{"workers": 2, "threads": 1} | settings, logs=tmp_path / "logs")


def test_a_cell_runs_in_a_process_of_its_own_and_its_death_is_a_card(cells, runs, tmp_path):
    found = {
        cell.label: card for cell, card in executor(tmp_path, threads=3)(cells, runs.answer_or_die)
    }
    assert set(found) == {"finetune", "scratch"}
    assert found["finetune"].error.message.startswith("from process")
    assert str(os.getpid()) not in found["finetune"].error.message
    assert found["finetune"].threads == 3
    assert "was killed by signal 9, as it happens where memory is short" in (
        found["scratch"].error.message
    )
    log = tmp_path / "logs" / f"{cells[1].stem}.log"
    assert log.read_text() == "at work on scratch\n"


def test_closing_the_executor_lets_cells_save_and_ends_their_processes(cells, runs, tmp_path):
    finished = executor(tmp_path)(cells, runs.answer_or_wait)
    next(finished)
    finished.close()
    assert (tmp_path / "saved").exists()
    assert multiprocessing.active_children() == []


def test_a_process_that_was_told_to_stop_stops_the_grid(cells, runs, tmp_path):
    with pytest.raises(InterruptedRunError, match="was told to stop"):
        list(executor(tmp_path)(cells[:1], runs.interrupted))


def test_what_no_cell_can_help_stops_the_grid(cells, runs, tmp_path):
    with pytest.raises(RunError, match="disk is full"):
        list(executor(tmp_path)(cells[:1], runs.full))


@pytest.mark.parametrize(
    ("workers", "expected"), [(None, (4, 2)), (1, (1, 8)), (3, (3, 2)), (8, (8, 1)), (20, (20, 1))]
)
def test_workers_share_the_cores(monkeypatch, tmp_path, workers, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: 8)
    made = local(workers, tmp_path)
    assert (made.workers, made.threads) == expected


def test_a_user_who_wants_few_threads_gets_few(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: 1)
    assert local(2, tmp_path).threads == 1


def test_no_workers_are_too_few(tmp_path):
    with pytest.raises(InputError, match="must be 1 or more, not 0"):
        local(0, tmp_path)


def test_a_cluster_is_not_for_processes(tmp_path):
    with pytest.raises(InputError, match="takes no address, CPUs or GPUs"):
        local(1, tmp_path, Cluster(cpus=2))
