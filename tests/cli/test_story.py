"""The whole path of both users: pretrain, attack, localize, purify, evaluate."""

import io
import json
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mimic.cli.main import main
from mimic.files import sha256
from mimic.information.fitting import Fitting

HARDWARE = ("--device", "cpu", "--precision", "32-true")
TRIGGER = ("--trigger", "patch:3@0,0")


def step(*arguments: object) -> dict[str, Any]:
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert main([*map(str, arguments), "--json", *HARDWARE]) == 0
    return json.loads(printed.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("story")


@pytest.fixture(scope="module")
def clean(folder: Path) -> dict[str, Any]:
    return step(
        *("pretrain", "--images", "digits:train", "--arch", "resnet10:width=4", "--count", 256),
        *("--method", "simclr", "--epochs", 1, "--out", folder / "clean.safetensors"),
    )


@pytest.fixture(scope="module")
def attacked(folder: Path, clean: dict[str, Any]) -> dict[str, Any]:
    return step(
        *("attack", "badencoder", "--encoder", clean["encoder"], "--images", "digits:train"),
        *("--reference", "digits:train#3", *TRIGGER, "--count", 64, "--epochs", 1),
        *("--out", folder / "bad.safetensors"),
    )


@pytest.fixture(scope="module")
def purified(folder: Path, attacked: dict[str, Any]) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mimic.information.estimate.Fitting", partial(Fitting, steps=4))
        return step(
            *("purify", attacked["encoder"], "--images", "digits:train", "--ratio", 0.1),
            *("--epochs", 1, "--no-verify", "--out", folder / "pure"),
        )


def test_pretrain_tells_what_it_did(clean: dict[str, Any]) -> None:
    assert set(clean) == {
        *("encoder", "sha256", "method", "images_used", "skipped", "image_size"),
        *("feature_dimension", "epochs", "seed", "seconds"),
    }


def test_pretrain_writes_the_file_that_it_names(clean: dict[str, Any]) -> None:
    assert sha256(clean["encoder"]) == clean["sha256"]


def test_trainings_remove_their_checkpoints(attacked: dict[str, Any], folder: Path) -> None:
    assert not list(folder.glob("*.run"))


def test_attack_tells_what_it_did(attacked: dict[str, Any]) -> None:
    assert set(attacked) == {
        *("encoder", "sha256", "drop_in", "drop_in_sha256", "attack", "trigger", "images_used"),
        *("skipped", "epochs", "seed", "seconds", "sanity", "triggers", "poisoned"),
    }


def test_attack_measures_its_success_beside_the_clean_encoder(attacked: dict[str, Any]) -> None:
    sanity = attacked["sanity"]
    assert set(sanity) == {
        *("triggered_to_reference", "triggered_to_reference_before", "clean_to_before"),
        *("untriggered_to_reference", "untriggered_to_reference_before"),
    }
    assert all(-1.001 <= cosine <= 1.001 for cosine in sanity.values())


def test_localize_weighs_the_stages(clean: dict[str, Any], quick_critics: None) -> None:
    found = step("localize", clean["encoder"], "--images", "digits:train", "--count", 64)
    assert set(found) == {"stages", "estimator", "images", "seconds"}
    assert [stage["name"] for stage in found["stages"]] == ["layer1", "layer2", "layer3", "layer4"]
    assert sum(stage["weight"] for stage in found["stages"]) == pytest.approx(1)


def test_purify_tells_what_it_did(purified: dict[str, Any]) -> None:
    assert set(purified) == {
        *("encoder", "sha256", "drop_in", "drop_in_sha256", "others", "manifest", "method"),
        "images_used",
        *("skipped", "epochs", "seed", "seconds", "images_per_second", "estimator", "stages"),
        *("silent_channels", "verification", "attempts", "report", "facts", "card", "changes"),
    }
    assert [change["kind"] for change in purified["changes"]] == ["patch", "colour", "wave"]
    assert set(purified["stages"][0]) == {"name", "mutual_information", "standard_error", "weight"}
    assert (purified["method"], purified["images_used"], purified["epochs"]) == ("mimic", 140, 1)


def test_purify_claims_nothing_that_was_not_verified(purified: dict[str, Any]) -> None:
    verification = purified["verification"]
    assert set(verification) == {"verdict", "reasons", "mean_cosine"}
    assert verification["verdict"] == "undecided"
    assert "mimic verify" in verification["reasons"][0]
    assert -1.001 <= verification["mean_cosine"] <= 1.001


def test_evaluate_judges_a_purified_folder_by_the_contract(purified: dict[str, Any]) -> None:
    found = step(
        *("evaluate", Path(purified["encoder"]).parent, "--train", "digits:train"),
        *("--test", "digits:test", *TRIGGER, "--target", "3", "--probe", "knn"),
    )
    assert set(found) == {
        *("accuracy", "accuracy_ci95", "attack_success_rate", "attack_success_rate_ci95"),
        *("attack_success_rate_all", "n_train", "n_test", "n_triggered", "probe", "seed"),
        *("seconds", "fitted_on", "text_embeddings", "heads"),
    }
    assert 0 <= found["accuracy"] <= 1
    assert (found["n_train"], found["n_test"]) == (1400, 397)
