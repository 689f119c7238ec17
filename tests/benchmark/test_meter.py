"""Clocks and memory of a cell."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mimic
from mimic.benchmark.meter import Meter, commit, peak_memory_mib


def test_the_time_of_earlier_attempts_counts(monkeypatch):
    meter = Meter()
    meter.fits.extend([(2.0, 10.0), (3.0, 3.0)])
    assert meter.total(7.0) == pytest.approx(15.0)


def test_the_peak_of_memory_does_not_fall_when_memory_is_freed():
    before = peak_memory_mib()
    block = torch.ones(64 * 2**20, dtype=torch.uint8)
    del block
    assert peak_memory_mib() >= before


def test_a_new_process_does_not_start_at_the_peak_of_its_parent():
    block = torch.ones(600 * 2**20, dtype=torch.uint8)
    code = "from mimic.benchmark.meter import peak_memory_mib; print(peak_memory_mib())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < peak_memory_mib()
    del block


def test_no_commit_is_claimed_outside_of_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(mimic, "__file__", str(tmp_path / "src" / "mimic" / "__init__.py"))
    assert commit() is None


@pytest.mark.skipif(
    not (Path(mimic.__file__).resolve().parents[2] / ".git").exists(), reason="not a checkout"
)
def test_the_commit_of_the_checkout_is_known():
    assert commit()
