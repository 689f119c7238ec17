"""Pictures on disk for the tests of image sources."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SaveImages = Callable[..., list[np.ndarray]]


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def save_images(tmp_path: Path) -> SaveImages:
    """Writes PNG files `0.png`, `1.png`, ... below tmp_path and returns their pixels."""

    def save(count: int, *, folder: str = "images", size: tuple[int, int] = (6, 8)) -> list:
        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        arrays = [noise(*size, seed=1000 * len(folder) + index) for index in range(count)]
        for index, array in enumerate(arrays):
            Image.fromarray(array).save(target / f"{index}.png")
        return arrays

    return save


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MIMIC_CACHE", str(folder))
    return folder
