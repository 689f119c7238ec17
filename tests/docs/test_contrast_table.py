"""The table of attack success by the contrast of images."""

import json
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def tables(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("contrast_table")


def test_without_a_measurement_there_is_no_table(tables, tmp_path):
    assert "no table" in tables.contrast_block(tmp_path / "contrast.json")


def test_an_encoder_has_a_cell_for_each_part_of_the_images(tables, tmp_path):
    parts = [
        {"contrast": [0.01, 0.074], "attack_success_rate": 0.2, "class_changed": 0.75},
        {"contrast": [0.074, 0.4], "attack_success_rate": 0.02, "class_changed": 0.155},
    ]
    row = {"encoder": "small-clean", "attack_success_rate": 0.11, "fifths": parts}
    (tmp_path / "contrast.json").write_text(json.dumps([row]))
    assert tables.contrast_block(tmp_path / "contrast.json").splitlines() == [
        "| encoder | all | 0.01 to 0.07 | 0.07 to 0.40 |",
        "| --- | ---: | ---: | ---: |",
        "| `small-clean` | 11.0 | 20.0 (75.0) | 2.0 (15.5) |",
    ]
