import json

import pytest

from mimic.demo.facts import loss_curves
from mimic.training import History


@pytest.fixture
def facts(played):
    return json.loads(played.result.facts.read_text(encoding="utf-8"))


def test_the_facts_hold_all_that_is_printed(facts, played):
    printed = json.loads(json.dumps(played.result.as_dict()))
    assert printed.items() <= facts.items()


def test_pictures_are_part_of_the_facts(facts):
    assert set(facts["pictures"]) == {"clean", "trigger", "triggered", "reference"}
    assert all(uri.startswith("data:image/png;base64,") for uri in facts["pictures"].values())


def test_both_encoders_are_projected_on_the_same_images(facts):
    before, after = facts["projections"]["suspicious"], facts["projections"]["purified"]
    assert {kind: len(points) for kind, points in before.items()} == {
        kind: len(points) for kind, points in after.items()
    }


def test_clean_and_triggered_points_are_counted_as_shown(facts):
    points = facts["projections"]["purified"]
    assert len(points["others"]) + len(points["target"]) == 200
    assert len(points["triggered"]) == len(points["others"])


def test_the_weights_of_the_stages_are_shares(facts):
    weights = [stage["weight"] for stage in facts["localization"]["stages"]]
    assert sum(weights) == pytest.approx(1)


def test_unusual_settings_are_part_of_the_command(facts):
    assert facts["command"].startswith("run_demo(Path(")
    assert "clean_images=32" in facts["command"]


def test_loss_curves_hold_the_terms_and_nothing_else():
    records = [
        {"epoch": i, "step": i, "clone": 1.0 / i, "learning_rate": 0.1, "seconds": 1.0}
        | {"images_per_second": 9.0}
        for i in (1, 2)
    ]
    assert loss_curves(History(epochs=records)) == {"clone": [1.0, 0.5]}


def test_a_training_without_epochs_has_no_curves():
    assert loss_curves(History()) == {}
