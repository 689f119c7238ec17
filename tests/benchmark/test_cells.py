"""A cell, run for real: what its card says, and how it goes on where it was interrupted."""

import errno
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mimic.benchmark.cells import encoder_file, run_cell
from mimic.benchmark.grid import Cell
from mimic.benchmark.judging import clean_images, judged
from mimic.defenses import Nothing
from mimic.defenses.finetune import FineTune, FineTuneObjective
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError, InterruptedRunError, RunError
from mimic.images.source import open_images
from mimic.seeds import seed_of
from mimic.training import Trainer


@pytest.fixture
def cell(cells) -> Cell:
    """Fine-tuning for one epoch of two steps."""
    return cells[0]


@pytest.fixture
def two_epochs(cell) -> Cell:
    return replace(cell, defense=replace(cell.defense, epochs=2))


def without_clocks(card) -> dict:
    """The results of a card but for the time they took."""
    values = card.as_dict()["results"]
    return {t: {p: e | {"seconds": 0} for p, e in found.items()} for t, found in values.items()}


def test_a_card_says_what_was_done_and_what_it_cost(cell, tmp_path):
    card = run_cell(cell, work=tmp_path)
    assert card.error is None
    assert (card.images_used, card.seed, card.label) == (32, 0, "finetune")
    assert card.settings["epochs"] == 1
    assert card.seconds > 0
    assert card.evaluation_seconds > 0
    assert card.images_per_second > 0
    assert card.peak_memory_mib > 10
    assert card.versions["mimic"]
    found = card.results["digits"]["knn"]
    assert (found.probe, found.n_test, found.n_triggered is not None) == ("knn", 397, True)


def test_a_defence_gets_the_sample_of_its_seed(cell):
    whole = open_images("digits:train", size=16)
    for seed in (0, 1):
        seeded = replace(cell, defense=cell.defense.with_settings(seed=seed))
        expected = whole.sample(count=32, seed=seed_of("defender", seed)).tensor()
        assert (clean_images(seeded, 16).tensor() == expected).all()


def test_a_defence_that_does_nothing_gives_the_rates_of_the_suspect(cell, tmp_path):
    nothing = replace(cell, defense=FineTune(epochs=0))
    suspect = judged(nothing, load_encoder(cell.scenario.encoder))
    card = run_cell(nothing, work=tmp_path)
    assert card.results["digits"]["knn"].accuracy == suspect["digits"]["knn"].accuracy
    assert card.images_per_second is None


@pytest.mark.parametrize(("largest", "dtype"), [(1.0, torch.half), (1e5, torch.float32)])
def test_the_encoder_is_kept_in_the_precision_that_holds_it(
    cell, tmp_path, monkeypatch, largest, dtype
):
    nothing = replace(cell, defense=Nothing())
    suspect = load_encoder(cell.scenario.encoder)
    with torch.no_grad():
        suspect.backbone.bn1.bias[0] = largest
    monkeypatch.setattr("mimic.benchmark.cells._suspect", lambda _: suspect)
    assert not run_cell(nothing, work=tmp_path / "work", keep=tmp_path / "cards").failed
    (kept,) = (tmp_path / "cards").iterdir()
    assert kept == encoder_file(tmp_path / "cards", cell.stem)
    stored = load_file(kept)
    assert stored["conv1.weight"].dtype == dtype
    expected = suspect.backbone.state_dict()
    assert all(torch.equal(stored[name], expected[name].to(stored[name].dtype)) for name in stored)


def test_a_failed_cell_keeps_no_encoder(cell, tmp_path, monkeypatch):
    monkeypatch.setattr("mimic.benchmark.cells.judged", None)
    assert run_cell(replace(cell, defense=Nothing()), work=tmp_path, keep=tmp_path / "cards").failed
    assert not (tmp_path / "cards").exists()


def test_a_task_without_a_target_has_no_success_rate(cell):
    tasks = {"digits": replace(cell.scenario.tasks["digits"], target=None)}
    untargeted = replace(cell, scenario=replace(cell.scenario, tasks=tasks))
    found = judged(untargeted, load_encoder(cell.scenario.encoder))
    assert found["digits"]["knn"].attack_success_rate is None


def test_an_interrupted_cell_goes_on_to_the_same_result(two_epochs, tmp_path, monkeypatch):
    whole = run_cell(two_epochs, work=tmp_path / "whole")
    steps = []

    def signal_once(_objective):
        steps.append(1)
        if len(steps) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(FineTuneObjective, "after_step", signal_once)
    with pytest.raises(InterruptedRunError):
        run_cell(two_epochs, work=tmp_path / "work")
    assert len(steps) == 1
    resumed = run_cell(two_epochs, work=tmp_path / "work")
    assert len(steps) == 4
    assert without_clocks(resumed) == without_clocks(whole)


def test_checkpoints_of_other_settings_are_dropped(cell, two_epochs, tmp_path):
    run_cell(cell, work=tmp_path)
    card = run_cell(two_epochs, work=tmp_path)
    assert (tmp_path / cell.stem / "finetune.ckpt").exists()
    assert card.error is None
    assert json.loads((tmp_path / cell.stem / "cell.json").read_text())["settings"]["epochs"] == 2


def test_a_failure_is_a_card_with_its_error(cell, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise RunError("it broke\nin two lines")

    monkeypatch.setattr(Trainer, "fit", fail)
    card = run_cell(cell, work=tmp_path)
    assert card.failed
    assert (card.error.type, card.error.message) == ("RunError", "it broke in two lines")
    assert card.results == {}
    assert not (tmp_path / cell.stem).exists()
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("unwritten", "steps_in_all"),
    [("cards/*.safetensors", 2), ("controls/*.json", 2), ("work/*/*.ckpt", 4)],
)
def test_a_full_disk_makes_no_card_and_keeps_the_checkpoints(
    cell, tmp_path, monkeypatch, unwritten, steps_in_all
):
    names = {"work": "work", "keep": "cards", "controls": "controls"}
    folders = {argument: tmp_path / name for argument, name in names.items()}
    steps, replace_file = [], Path.replace

    def full(temporary, path):
        if path.match(unwritten):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace_file(temporary, path)

    monkeypatch.setattr(FineTuneObjective, "after_step", lambda _: steps.append(1))
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match="disk is full"):
        run_cell(cell, **folders)
    assert (tmp_path / "work" / cell.stem / "cell.json").exists()
    monkeypatch.setattr(Path, "replace", replace_file)
    assert not run_cell(cell, **folders).failed
    assert len(steps) == steps_in_all


def test_an_encoder_that_cannot_be_written_makes_no_card_either(cell, tmp_path):
    (tmp_path / "cards").write_text("no folder")
    with pytest.raises(InputError, match="cannot write"):
        run_cell(cell, work=tmp_path / "work", keep=tmp_path / "cards")
    assert (tmp_path / "work" / cell.stem / "finetune.ckpt").exists()


def test_a_suspect_that_changes_while_the_grid_runs_fails_its_cell(cell, tmp_path):
    card = replace(cell.scenario.card, sha256="0" * 64)
    changed = replace(cell, scenario=replace(cell.scenario, card=card))
    assert "was changed while" in run_cell(changed, work=tmp_path).error.message
