"""`mimic bench` on the command line."""

import sys
from pathlib import Path
from typing import Any

import pytest

from mimic.benchmark import Cluster, executors
from mimic.benchmark.cells import failed, run_cell
from mimic.benchmark.local import local
from mimic.errors import RunError

from .conftest import Run

CONFIG = """
counts = [16]
probes = ["knn"]
device = "cpu"
precision = "32-true"
[[scenario]]
name = "<script> [bold]"
encoder = "in/suspect.safetensors"
images = "digits:test"
[scenario.tasks.digits]
train = "digits:test"
test = "digits:test"
[[defense]]
name = "finetune"
epochs = 0
[[defense]]
name = "finetune"
label = "longer"
epochs = 1
batch_size = 8
"""


class Serial:
    """Runs cells in this process; those labelled `broken` fail."""

    workers, threads = 1, 1
    broken: str | None = None
    asked: Cluster | None = None

    def __init__(self, workers: int | None, logs: Path, cluster: Cluster | None) -> None:
        self.logs = logs
        type(self).asked = cluster

    def __call__(self, cells: Any, run: Any) -> Any:
        for cell in cells:
            if cell.label == self.broken:
                yield cell, failed(cell, RunError("it broke"))
            else:
                yield cell, run_cell(cell, work=self.logs)


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment names as data: all that these tests need is embedded."""
    monkeypatch.delenv("MIMIC_DATA", raising=False)


@pytest.fixture
def config(tmp_path: Path, encoder_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose cells run in this process."""
    monkeypatch.setitem(executors.EXECUTORS, "local", Serial)
    path = tmp_path / "bench.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_it_says_what_there_is_and_what_was_done(run: Run, config: Path, tmp_path: Path) -> None:
    outcome = run("bench", config, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert "2 of 2 cells are done, 0 failed; 2 ran now." in outcome.out
    assert "<script> [bold]" in outcome.err
    assert "2 cells, 0 done, 2 to run, 1 at a time with 1 thread(s) each, about" in outcome.err


def test_json_is_one_object_and_a_second_run_does_nothing(
    run: Run, config: Path, tmp_path: Path
) -> None:
    first = run("bench", config, "--out", tmp_path / "out", "--json").data
    assert first == {
        "cards": str(tmp_path / "out" / "cards"),
        "cells": 2,
        "ran": 2,
        "done": 2,
        "failed": [],
    }
    assert run("bench", config, "--out", tmp_path / "out", "--json").data == first | {"ran": 0}


def test_a_failed_cell_is_a_finding(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Serial, "broken", "longer")
    outcome = run("bench", config, "--out", tmp_path / "out", "--json")
    assert outcome.code == 1
    (found,) = outcome.data["failed"]
    assert (found["label"], found["error"]) == ("longer", "RunError: it broke")
    monkeypatch.setattr(Serial, "broken", None)
    assert run("bench", config, "--out", tmp_path / "out").code == 1
    assert run("bench", config, "--out", tmp_path / "out", "--retry-failed").code == 0


@pytest.mark.parametrize(("answer", "ran"), [("y\n", 2), ("n\n", 0), ("\n", 0), ("", 0)])
def test_on_a_terminal_it_asks_before_it_starts(
    run: Run,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    ran: int,
) -> None:
    terminal = Terminal(answer)
    monkeypatch.setattr(sys, "stdin", terminal)
    outcome = run("bench", config, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert f"{ran} ran now." in outcome.out
    assert "Start?" not in outcome.out


def test_yes_answers_before_it_is_asked(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert "2 ran now." in run("bench", config, "--out", tmp_path / "out", "--yes").out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), None),
        (("--cpus", "2"), Cluster(cpus=2)),
        (
            ("--address", "head:6379", "--gpus", "0.5"),
            Cluster(address="head:6379", gpus=0.5),
        ),
    ],
)
def test_options_of_a_cluster_reach_the_executor(
    run: Run,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    expected: Cluster | None,
) -> None:
    monkeypatch.setitem(executors.EXECUTORS, "ray", Serial)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert run("bench", config, "--out", tmp_path, "--executor", "ray", *options).code == 0
    assert Serial.asked == expected


@pytest.mark.parametrize("option", ["--address", "--cpus", "--gpus"])
def test_processes_on_this_machine_take_no_options_of_a_cluster(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setitem(executors.EXECUTORS, "local", local)
    outcome = run("bench", config, "--out", tmp_path / "out", option, "1")
    assert outcome.code == 2
    assert "takes no address, CPUs or GPUs; choose --executor ray" in outcome.error
    assert not (tmp_path / "out").exists()


def test_ray_needs_its_extra(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = run("bench", config, "--out", tmp_path / "out", "--executor", "ray")
    assert outcome.code == 2
    assert "pip install 'mimic-purify[ray]'" in outcome.error


def test_bad_input_is_one_sentence(run: Run, config: Path, tmp_path: Path) -> None:
    config.write_text(CONFIG.replace('"finetune"', '"finetun"'))
    outcome = run("bench", config, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "did you mean 'finetune'?" in outcome.error
    assert not (tmp_path / "out").exists()


class Terminal:
    """Standard input of somebody who has typed this."""

    def __init__(self, typed: str) -> None:
        self.typed = typed

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("not a real file")

    def readline(self) -> str:
        return self.typed
