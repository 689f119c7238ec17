"""`mimic evaluate`: classes by name, texts in the place of a head, and results for people."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mimic.cli.options import class_label
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError
from mimic.images.source import open_images

HARDWARE = ("--device", "cpu", "--precision", "32-true")


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Three classes; the second one is called by a number that is not its own."""
    for value, name in enumerate(("1", "10", "2")):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for index in range(4):
            pixels = np.full((8, 8, 3), 80 * value + index, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "classes" / name / f"{index}.png")
    return tmp_path / "classes"


def test_the_name_of_a_class_wins_over_its_number(classes: Path) -> None:
    assert class_label("2", open_images(classes, labels=True)) == 2
    assert class_label("1", open_images(classes, labels=True)) == 0


def test_other_numbers_are_taken_as_they_are(classes: Path) -> None:
    assert class_label("0", open_images(classes, labels=True)) == 0


def test_an_unknown_name_is_answered_with_the_known_ones(classes: Path) -> None:
    with pytest.raises(InputError, match="1, 10, 2"):
        class_label("cat", open_images(classes, labels=True))


def test_people_get_rates_in_percent(
    run: Callable[..., Any], encoder_file: Path, classes: Path
) -> None:
    outcome = run(
        *("evaluate", encoder_file, "--train", classes, "--test", classes, "--probe", "knn"),
        *("--trigger", "patch:2@0,0", "--target", "10", *HARDWARE),
    )
    assert outcome.code == 0, outcome.err
    assert "attack success" in outcome.out


def test_people_get_the_range_of_several_heads(
    run: Callable[..., Any], encoder_file: Path, classes: Path
) -> None:
    asked = ("evaluate", encoder_file, "--train", classes, "--test", classes, "--probe", "linear")
    outcome = run(*asked, "--heads", 2, "--seed", 5, *HARDWARE)
    assert outcome.code == 0, outcome.err
    assert "mean of 2 linear probes" in " ".join(outcome.out.split())
    assert "lowest to highest" in outcome.out


def test_json_has_the_rates_of_each_head_and_their_mean(
    run: Callable[..., Any], encoder_file: Path, classes: Path
) -> None:
    data = run(
        *("evaluate", encoder_file, "--train", classes, "--test", classes, "--probe", "linear"),
        *("--trigger", "patch:2@0,0", "--target", "10"),
        *("--heads", 3, "--seed", 5, "--json", *HARDWARE),
    ).data
    assert [head["seed"] for head in data["heads"]] == [5, 6, 7]
    for rate in ("accuracy", "attack_success_rate"):
        assert data[rate] == pytest.approx(sum(head[rate] for head in data["heads"]) / 3)


def test_without_a_trigger_there_is_no_success_rate(
    run: Callable[..., Any], encoder_file: Path, classes: Path
) -> None:
    data = run(
        *("evaluate", encoder_file, "--train", classes, "--test", classes, "--probe", "knn"),
        *("--json", *HARDWARE),
    ).data
    assert data["attack_success_rate"] is None


def test_a_head_can_be_fitted_to_another_encoder(
    run: Callable[..., Any], encoder_file: Path, classes: Path
) -> None:
    outcome = run(
        *("evaluate", encoder_file, "--train", classes, "--test", classes, "--probe", "knn"),
        *("--fitted-on", encoder_file, *HARDWARE),
    )
    assert outcome.code == 0, outcome.err
    assert "fitted to the features of" in " ".join(outcome.out.split())


def test_json_says_what_the_head_was_fitted_to(
    run: Callable[..., Any], encoder_file: Path, classes: Path
) -> None:
    asked = ("evaluate", encoder_file, "--train", classes, "--test", classes, "--probe", "knn")
    alone = run(*asked, "--json", *HARDWARE).data
    fitted = run(*asked, "--fitted-on", encoder_file, "--json", *HARDWARE).data
    assert alone["fitted_on"] is None
    assert fitted["fitted_on"] == str(encoder_file)
    assert fitted["accuracy"] == alone["accuracy"]


@pytest.fixture
def texts(tmp_path: Path, encoder_file: Path) -> Path:
    """Random embeddings as long as the encoder's features."""
    length = load_encoder(encoder_file).feature_dimension((8, 8))
    vectors = np.random.default_rng(0).standard_normal((3, length)).astype(np.float32)
    np.savez(tmp_path / "texts.npz", embeddings=vectors, classes=np.array(["2", "1", "10"]))
    return tmp_path / "texts.npz"


def test_texts_stand_in_for_a_head(
    run: Callable[..., Any], encoder_file: Path, classes: Path, texts: Path
) -> None:
    data = run(
        *("evaluate", encoder_file, "--test", classes, "--text-embeddings", texts),
        *("--trigger", "patch:2@0,0", "--target", "10", "--json", *HARDWARE),
    ).data
    assert (data["probe"], data["n_train"], data["n_test"]) == ("zero-shot", 0, 12)
    assert data["n_triggered"] == 8
    assert data["text_embeddings"] == str(texts)


def test_people_read_that_nothing_was_trained(
    run: Callable[..., Any], encoder_file: Path, classes: Path, texts: Path
) -> None:
    outcome = run(
        *("evaluate", encoder_file, "--test", classes, "--text-embeddings", texts, *HARDWARE)
    )
    assert outcome.code == 0, outcome.err
    assert "nothing trained" in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --train SRC for a head, or --text-embeddings FILE"),
        (("--train", "digits", "--text-embeddings", "texts.npz"), "not both"),
        (("--text-embeddings", "texts.npz", "--fitted-on", "old.pth"), "there is none"),
        (("--text-embeddings", "texts.npz", "--heads", "2"), "there is none"),
        (("--train", "digits", "--heads", "0"), "--heads must be 1 or more, not 0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    run: Callable[..., Any],
    encoder_file: Path,
    classes: Path,
    options: tuple[str, ...],
    message: str,
) -> None:
    outcome = run("evaluate", encoder_file, "--test", classes, *options, *HARDWARE)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
