"""`mimic attack`: the files it writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mimic.files import sha256

HARDWARE = ("--device", "cpu", "--precision", "32-true")


def test_a_bare_file_gets_a_drop_in_beside_the_result(
    run: Callable[..., Any], bare_file: Path, pictures: Path, tmp_path: Path
) -> None:
    data = run(
        *("attack", "badencoder", "--encoder", bare_file, "--arch", "resnet10:width=2"),
        *("--image-size", 8, "--images", pictures, "--reference", f"{pictures}#2", "--epochs", 1),
        *("--trigger", "patch:2@0,0", "--out", tmp_path / "bad.safetensors", "--json", *HARDWARE),
    ).data
    assert data["drop_in"] == str(tmp_path / "bad.pth")
    assert data["drop_in_sha256"] == sha256(tmp_path / "bad.pth")
    assert torch.load(tmp_path / "bad.pth", weights_only=True)["epoch"] == 3
    assert not (tmp_path / "bad.safetensors.run").exists()
