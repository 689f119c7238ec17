"""The script for a GPU, at the scale of a test: everything is made once, and judged."""

import json
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mimic.benchmark.cards import load_cards
from mimic.zoo import read_zoo

from ..scripts import load_script
from ..searches import shorten_searches


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("benchmarks/paper_scale.py")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Noise with the names, the classes and the layout of the real images."""
    random = np.random.default_rng(0)
    for name, classes in (("cifar10", 10), ("gtsrb", 43)):
        for split, count in (("train", 440), ("test", classes)):
            blobs = []
            for _ in range(count):
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                buffer = BytesIO()
                Image.fromarray(pixels).save(buffer, "PNG")
                blobs.append({"bytes": buffer.getvalue(), "path": "image.png"})
            labels = [index % classes for index in range(count)]
            folder = tmp_path / "data" / name
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{split}-00000-of-00001.parquet"
            pq.write_table(pa.table({"image": blobs, "label": labels}), file)
    references = tmp_path / "data" / "badencoder"
    references.mkdir()
    for name in ("priority", "truck"):
        picture = random.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
        np.savez(references / f"reference_{name}.npz", x=picture)
    return tmp_path / "data"


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch, script: ModuleType) -> None:
    """In this process, one attack, and searches of a moment."""
    shorten_searches(monkeypatch, population=16, rounds=1, keep=8, judged_on=4)
    some = script.attacks
    monkeypatch.setattr(script, "attacks", lambda place: {"badencoder": some(place)["badencoder"]})


@pytest.mark.usefixtures("_small")
def test_everything_is_made_once_and_judged(script, data, tmp_path, monkeypatch, capsys):
    for variable in ("MIMIC_ZOO", "MIMIC_DATA"):
        monkeypatch.setenv(variable, "")  # the script sets them, and they are to be as before
    order = ["--data", str(data), "--out", str(tmp_path / "out"), "--scale", "smoke"]
    order += ["--device", "cpu"]
    script.main(order)
    zoo = read_zoo(tmp_path / "out" / "zoo")
    assert sorted(zoo) == ["badencoder", "clean"]
    assert zoo["badencoder"].expected["gtsrb"]["attack_success_rate"] is not None
    cards = load_cards(tmp_path / "out")
    assert [card.error for card in cards] == [None, None]
    assert sorted(card.label for card in cards) == ["mimic", "scratch"]
    assert all({"clean", "suspect"} <= card.controls.keys() for card in cards)
    written = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.json")}
    capsys.readouterr()
    script.main(order)
    assert {path: path.read_bytes() for path in written} == written
    assert "badencoder mimic" in capsys.readouterr().out


@pytest.mark.usefixtures("_small")
def test_nothing_begins_after_the_last_minute(script, data, tmp_path, monkeypatch, capsys):
    for variable in ("MIMIC_ZOO", "MIMIC_DATA"):
        monkeypatch.setenv(variable, "")
    script.main(["--data", str(data), "--out", str(tmp_path / "out"), "--minutes", "0"])
    assert "minutes are over" in capsys.readouterr().out
    assert not list((tmp_path / "out").rglob("*.json"))


def test_every_attack_of_the_script_can_be_made(script, data, tmp_path):
    place = script.Place(
        data=data, out=tmp_path, scale=script.SCALES["smoke"], trainer=script.Trainer()
    )
    found = script.attacks(place)
    assert sorted(found) == ["badencoder", "ctrl", "drupe"]
    assert json.loads(json.dumps([targets for _, _, targets in found.values()]))
