"""A benchmark on the embedded digits, with a tiny encoder and cheap defences."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mimic.benchmark import Bench, read_config
from mimic.benchmark.grid import Cell, expand
from mimic.encoders.architectures import build_backbone
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder

from .support import ARCH, FINETUNE, HEAD, SCENARIO, SCRATCH

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment names as data: all that these tests need is embedded."""
    monkeypatch.delenv("MIMIC_DATA", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the file of a random encoder for images of 16x16."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone(ARCH)
    encoder = load_encoder(backbone.eval(), arch=ARCH, image_size=16)
    save_encoder(encoder, tmp_path / "suspect.safetensors")
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a configuration beside the encoder."""

    def call(*parts: str) -> Path:
        path = folder / "bench.toml"
        path.write_text("".join(parts), encoding="utf-8")
        return path

    return call


@pytest.fixture
def bench(write: Write) -> Bench:
    """One scenario, two defences."""
    return read_config(write(HEAD, SCENARIO, FINETUNE, SCRATCH))


@pytest.fixture
def cells(bench: Bench) -> tuple[Cell, ...]:
    return expand(bench)
