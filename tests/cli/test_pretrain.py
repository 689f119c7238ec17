"""`mimic pretrain`: dry runs, divided batches, and several processes."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mimic.cli.main import _parse
from mimic.files import sha256

from .conftest import ARCH, HARDWARE, Run

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def command(pictures: Path, out: Path) -> tuple[object, ...]:
    return (
        "pretrain",
        "--images",
        pictures,
        "--arch",
        ARCH,
        "--epochs",
        1,
        "--out",
        out,
        *HARDWARE,
    )


def test_a_dry_run_estimates_and_writes_nothing(run: Run, pictures: Path, tmp_path: Path) -> None:
    outcome = run(*command(pictures, tmp_path / "new" / "a.safetensors"), "--dry-run", "--json")
    assert set(outcome.data) == {
        *("parameters", "flops_per_image", "image_size", "peak_memory_mib", "seconds"),
        *("training_seconds", "images_used", "device", "processes"),
    }
    assert not (tmp_path / "new").exists()


def test_a_dry_run_tells_people_what_it_found(run: Run, pictures: Path, tmp_path: Path) -> None:
    outcome = run(*command(pictures, tmp_path / "a.safetensors"), "--dry-run")
    assert re.search(r"[\d,]+ parameters; [\d.e-]+ GFLOP .* of 8x8", outcome.out)
    assert "nothing was written" in outcome.out


def test_batches_in_parts_train_an_encoder(run: Run, pictures: Path, tmp_path: Path) -> None:
    outcome = run(*command(pictures, tmp_path / "a.safetensors"), "--accumulate", 3, "--json")
    assert sha256(tmp_path / "a.safetensors") == outcome.data["sha256"]


def test_no_parts_are_refused(run: Run, pictures: Path, tmp_path: Path) -> None:
    outcome = run(*command(pictures, tmp_path / "a.safetensors"), "--accumulate", 0)
    assert outcome.code == 2
    assert "1 part or more" in outcome.error


def test_two_processes_write_one_encoder(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    words = [str(word) for word in command(pictures, out)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", "-m", "mimic", *words, "--json"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sha256"] == sha256(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "pictures"]


def _commands_of_the_page() -> list[str]:
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"(?:\$ mimic|-m mimic\.cli\.main) (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("line", _commands_of_the_page())
def test_the_commands_of_the_page_are_understood(line: str) -> None:
    assert _parse(shlex.split(line)).run


def test_the_snippets_of_the_page_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "snippets"}
    for snippet in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(snippet, PAGE.name, "exec"), names)
    assert {"trainer", "Spread"} <= names.keys()
