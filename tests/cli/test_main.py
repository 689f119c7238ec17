"""The frame around every command: help, exit codes, streams."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mimic.cli import main as module
from mimic.cli.list import List
from mimic.cli.output import Result
from mimic.errors import NonFiniteLossError

Run = Callable[..., Any]


def raising(error: BaseException) -> Callable[[List], Result]:
    def run(_self: List) -> Result:
        raise error

    return run


def test_help_names_the_commands(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    assert all(name in outcome.out for name in module.COMMANDS)


@pytest.mark.parametrize("name", module.COMMANDS)
def test_every_command_documents_its_options(run: Run, name: str) -> None:
    outcome = run(name, "--help")
    assert (outcome.code, "--json" in outcome.out) == (0, True)


@pytest.mark.parametrize("arguments", [(), ("magic",), ("purify",), ("list", "magic")])
def test_wrong_use_is_code_2_and_leaves_standard_output_alone(
    run: Run, arguments: tuple[str, ...]
) -> None:
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("mimic 0.")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (NonFiniteLossError("the loss is NaN"), 3, "the loss is NaN"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (FileNotFoundError(2, "No such file", "x.pth"), 2, "'x.pth'"),
        (OSError(28, "No space left on device"), 3, "No space left"),
        (ZeroDivisionError("by zero"), 3, "unexpected ZeroDivisionError: by zero"),
    ],
)
def test_every_failure_is_one_sentence_and_a_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    monkeypatch.delenv("MIMIC_DEBUG", raising=False)
    monkeypatch.setattr(List, "run", raising(error))
    outcome = run("list", "attacks", "--json")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (code, "", 1)
    assert sentence in outcome.error


def test_an_unexpected_failure_tells_how_to_see_the_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIMIC_DEBUG", raising=False)
    monkeypatch.setattr(List, "run", raising(ZeroDivisionError()))
    assert "MIMIC_DEBUG=1" in run("list", "attacks").error


def test_the_traceback_is_shown_when_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMIC_DEBUG", "1")
    monkeypatch.setattr(List, "run", raising(ZeroDivisionError()))
    assert "Traceback" in run("list", "attacks").err


def test_what_libraries_print_stays_off_standard_output(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chatty(_self: List) -> Result:
        print("Using bfloat16")
        return Result(data={"items": []}, show=lambda console: None)

    monkeypatch.setattr(List, "run", chatty)
    outcome = run("list", "attacks", "--json")
    assert outcome.data == {"items": []}
    assert "Using bfloat16" in outcome.err


def test_a_number_that_json_cannot_say_is_a_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Result(data={"accuracy": float("nan")}, show=lambda console: None)
    monkeypatch.setattr(List, "run", lambda _self: found)
    outcome = run("list", "attacks", "--json")
    assert (outcome.code, outcome.out) == (3, "")


def test_help_is_quick_because_it_does_not_import_torch() -> None:
    code = "import sys, mimic.cli.main as m; m.main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_leaves_is_no_error() -> None:
    reader = subprocess.Popen(
        f"{sys.executable} -m mimic list datasets | true",
        shell=True,
        stderr=subprocess.PIPE,
    )
    assert reader.communicate(timeout=300)[1] == b""


def test_sigterm_saves_and_ends_with_130(
    encoder_file: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = (
        *(sys.executable, "-m", "mimic", "purify", encoder_file, "--images", pictures),
        *("--out", out, "--method", "scratch", "--epochs", "100000", "--device", "cpu", "--json"),
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = out / "checkpoints" / "scratch.jsonl"
    started = time.monotonic()
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() - started < 300:
        time.sleep(0.05)
    process.terminate()
    said, error = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "")
    assert "--resume continues" in error
    assert (out / "checkpoints" / "scratch.ckpt").exists()
