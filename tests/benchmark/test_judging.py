"""Controls of a cell: from the zoo where it knows them, else measured once."""

from dataclasses import replace

import pytest
import torch

from mimic.benchmark.grid import Cell
from mimic.benchmark.judging import judged, measured_controls
from mimic.benchmark.schema import parse
from mimic.encoders.architectures import build_backbone
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.evaluation.evaluate import Evaluation

from .support import ARCH, evaluation


@pytest.fixture
def cell(cells, folder) -> Cell:
    """A cell whose suspect came from a clean encoder that lies beside it."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = build_backbone(ARCH)
    clean = load_encoder(backbone.eval(), arch=ARCH, image_size=16)
    save_encoder(clean, folder / "clean.safetensors")
    return replace(
        cells[0], scenario=replace(cells[0].scenario, origin=folder / "clean.safetensors")
    )


def said(cell, **changes) -> Cell:
    """The cell, where the zoo says something of its suspect."""
    known = parse(Evaluation, evaluation(**changes), "")
    controls = {"suspect": {"digits": {"knn": known}}}
    return replace(cell, scenario=replace(cell.scenario, controls=controls))


def test_both_controls_are_judged_as_the_cell_is(cell, tmp_path):
    found = measured_controls(cell, tmp_path / "controls")
    files = {"suspect": cell.scenario.encoder, "clean": cell.scenario.origin}
    for who, file in files.items():
        by_hand = judged(cell, load_encoder(file))["digits"]["knn"]
        assert found[who]["digits"]["knn"].accuracy == by_hand.accuracy
        assert found[who]["digits"]["knn"].attack_success_rate == by_hand.attack_success_rate
    assert len(list((tmp_path / "controls").iterdir())) == 2


def test_heads_are_fitted_with_the_seed_of_the_cell(cells):
    cell = replace(cells[0], defense=cells[0].defense.with_settings(seed=7))
    found = judged(cell, load_encoder(cell.scenario.encoder))["digits"]["knn"]
    assert [head.seed for head in found.heads] == [7]


def test_where_nobody_knows_the_clean_encoder_there_is_none(cells, tmp_path):
    assert set(measured_controls(cells[0], tmp_path)) == {"suspect"}


def test_a_control_is_measured_once_for_all_defences_and_seeds(cells, cell, tmp_path, monkeypatch):
    first = measured_controls(cell, tmp_path)
    monkeypatch.delattr("mimic.benchmark.judging.evaluate")
    other = replace(cells[1], scenario=cell.scenario)
    assert measured_controls(other, tmp_path) == first


def test_a_file_that_was_cut_in_half_is_measured_again(cell, tmp_path):
    first = measured_controls(cell, tmp_path)
    for path in tmp_path.glob("*.json"):
        path.write_text(path.read_text()[:40])
    again = measured_controls(cell, tmp_path)
    assert again["clean"]["digits"]["knn"].heads == first["clean"]["digits"]["knn"].heads


def test_what_the_zoo_says_is_not_measured(cell, tmp_path):
    found = measured_controls(said(cell, accuracy=0.123), tmp_path)
    assert found["suspect"]["digits"]["knn"].accuracy == 0.123


def test_a_success_rate_that_the_zoo_does_not_know_is_measured(cell, tmp_path):
    found = measured_controls(said(cell, accuracy=0.123, attack_success_rate=None), tmp_path)
    assert found["suspect"]["digits"]["knn"].accuracy != 0.123
    assert found["suspect"]["digits"]["knn"].attack_success_rate is not None
