"""The committed encoders are what their cards say, and still do what their cards expect."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from mimic.attacks.triggers import parse_trigger
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.evaluation.evaluate import Evaluation, evaluate
from mimic.files import sha256
from mimic.images.source import open_images
from mimic.training import Trainer

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "zoo"
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
CARDS = sorted(ZOO.glob("*.json"))
needs_data = pytest.mark.skipif(
    not (DATA / "gtsrb").is_dir(), reason="MIMIC_DATA names no folder with real images"
)


def read(card: Path) -> dict[str, Any]:
    return json.loads(card.read_text())


def member(card: Path) -> Encoder:
    return load_encoder(ZOO / read(card)["file"])


def test_there_is_a_clean_and_an_attacked_encoder():
    assert {read(card)["backdoored"] for card in CARDS} == {False, True}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_a_file_is_the_one_its_card_describes(card):
    assert sha256(ZOO / read(card)["file"]) == read(card)["sha256"]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_a_member_loads_by_itself_and_gives_finite_features(card):
    features = member(card)(torch.rand(2, 3, 32, 32))
    assert features.shape == (2, 256)
    assert bool(features.isfinite().all())


def test_the_attack_left_batch_normalisation_alone():
    states = {read(card)["backdoored"]: member(card).backbone.state_dict() for card in CARDS}
    for name, clean in states[False].items():
        if ".bn" in name or name.startswith("bn") or "downsample.1" in name:
            assert torch.equal(clean, states[True][name]), name


@needs_data
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_expected_accuracy_and_attack_success_are_reproduced(card):
    facts = read(card)
    expected = facts["expected"]["gtsrb"]
    found: Evaluation = evaluate(
        member(card),
        open_images(f"{DATA}/gtsrb:train", labels=True),
        open_images(f"{DATA}/gtsrb:test", labels=True),
        trigger=parse_trigger(facts["trigger"]),
        target=facts["target"],
        probe=expected["probe"],
        seed=expected["seed"],
        trainer=Trainer(),
    )
    low, high = expected["accuracy_ci95"]
    assert low <= found.accuracy <= high
    assert found.attack_success_rate is not None
    low, high = expected["attack_success_rate_ci95"]
    assert low <= found.attack_success_rate <= high
