"""The command line in this process, tiny encoders, and pictures on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mimic.cli.main import main
from mimic.encoders.architectures import build_backbone
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.information.fitting import Fitting

ARCH = "resnet10:width=2"
HARDWARE = ("--device", "cpu", "--precision", "32-true")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one sentence; nothing else may follow or be a traceback."""
        assert "Traceback" not in self.err
        last = self.err.rstrip("\n").splitlines()[-1]
        assert last.startswith("mimic: error: ")
        return last


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def quick_critics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Localisation with critics that are hardly trained."""
    monkeypatch.setattr("mimic.information.estimate.Fitting", partial(Fitting, steps=4))


@pytest.fixture
def encoder_file(tmp_path: Path) -> Path:
    """A random encoder of 8x8 images that knows all of itself."""
    torch.manual_seed(0)
    path = tmp_path / "in" / "suspect.safetensors"
    save_encoder(load_encoder(build_backbone(ARCH), arch=ARCH, image_size=8), path)
    return path


@pytest.fixture
def bare_file(tmp_path: Path) -> Path:
    """A random encoder as torch saves it: weights without a word."""
    torch.manual_seed(0)
    path = tmp_path / "bare.pth"
    torch.save({"state_dict": build_backbone(ARCH).state_dict(), "epoch": 3}, path)
    return path


def save_pictures(folder: Path, count: int, sizes: tuple[tuple[int, int], ...] = ((8, 8),)) -> Path:
    """PNG files of noise, in turn of these sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for index in range(count):
        pixels = random.integers(0, 256, (*sizes[index % len(sizes)], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03}.png")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 24 images."""
    return save_pictures(tmp_path / "pictures", 24)
