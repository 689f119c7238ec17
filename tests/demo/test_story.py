import json
import shutil
from dataclasses import replace

import pytest
import torch

from mimic import load_encoder
from mimic.demo import run_demo
from mimic.demo.story import choose_reference
from mimic.encoders.architectures import build_backbone
from mimic.errors import InputError, InterruptedRunError
from mimic.files import sha256
from mimic.images.source import open_images
from mimic.report.demo import demo_page
from mimic.report.page import render

EVALUATED = {
    "name",
    "accuracy",
    "accuracy_ci95",
    "attack_success_rate",
    "attack_success_rate_ci95",
    "attack_success_rate_all",
    "n_train",
    "n_test",
    "n_triggered",
    "probe",
    "seed",
    "seconds",
    "heads",
}


def test_four_encoders_are_judged_in_this_order(played):
    names = [encoder.name for encoder in played.result.encoders]
    assert names == ["clean", "suspicious", "purified", "scratch"]


def test_json_has_the_keys_of_the_contract(played):
    data = played.result.as_dict()
    assert {"encoders", "report", "seconds"} <= data.keys()
    assert all(encoder.keys() >= EVALUATED for encoder in data["encoders"])
    json.dumps(data, allow_nan=False)


def test_each_encoder_is_a_file_that_knows_itself(played, tiny):
    for encoder in played.result.encoders:
        loaded = load_encoder(encoder.file)
        assert loaded.architecture == tiny.architecture
        assert sha256(encoder.file) == encoder.sha256


def test_the_four_encoders_differ(played):
    assert len({encoder.sha256 for encoder in played.result.encoders}) == 4


def test_the_reference_is_never_evaluated_on(played):
    everything = len(open_images("digits:test"))
    assert {e.evaluation.n_test for e in played.result.encoders} == {everything - 1}


def test_images_of_the_target_class_are_not_attacked(played, tiny):
    labels = open_images("digits:test", labels=True).labels
    others = int((labels != tiny.target).sum())
    assert {e.evaluation.n_triggered for e in played.result.encoders} == {others}


def test_the_report_is_drawn_from_the_facts_alone(played):
    facts = json.loads(played.result.facts.read_text(encoding="utf-8"))
    assert played.result.report.read_text(encoding="utf-8") == render(demo_page(facts))


def test_playing_again_repeats_no_training_and_gives_the_same_encoders(
    played, hasty_defence, tiny, quiet, tmp_path
):
    copy = shutil.copytree(played.out, tmp_path / "copy")
    again = run_demo(copy, seed=3, settings=tiny, trainer=quiet)
    assert again.resumed
    assert [e.sha256 for e in again.encoders] == [e.sha256 for e in played.result.encoders]


def test_a_first_call_is_not_a_resumed_one(played):
    assert not played.result.resumed


def test_another_seed_in_the_same_folder_is_refused(played, hasty_defence, tiny, quiet):
    with pytest.raises(InputError, match="another folder"):
        run_demo(played.out, seed=4, settings=tiny, trainer=quiet)


def test_an_interruption_says_how_to_go_on(monkeypatch, tmp_path, tiny, quiet):
    def interrupted(*_, **__):
        raise InterruptedRunError("interrupted at step 1 of 5")

    monkeypatch.setattr("mimic.training.Trainer.fit", interrupted)
    with pytest.raises(InterruptedRunError, match="the same command goes on from"):
        run_demo(tmp_path / "out", settings=tiny, trainer=quiet)


def test_chapters_are_announced_on_standard_error_alone(monkeypatch, tmp_path, capsys, tiny, quiet):
    def interrupted(*_, **__):
        raise InterruptedRunError("interrupted")

    monkeypatch.setattr("mimic.training.Trainer.fit", interrupted)
    with pytest.raises(InterruptedRunError):
        run_demo(tmp_path, settings=tiny, trainer=replace(quiet, progress=True))
    said = capsys.readouterr()
    assert "1/5 pre-train" in said.err
    assert said.out == ""


def test_the_reference_is_of_the_target_class(tiny, quiet):
    train, test = (open_images(f"digits:{split}", labels=True) for split in ("train", "test"))
    torch.manual_seed(0)
    encoder = load_encoder(build_backbone(tiny.architecture), arch=tiny.architecture)
    position = choose_reference(encoder, train, test, target=3, trainer=quiet)
    assert test.labels[position] == 3
