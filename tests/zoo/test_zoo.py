"""The committed encoders are what their cards say, and still do what their cards expect."""

import os
from pathlib import Path

import pytest
import torch

from mimic.training import Trainer
from mimic.zoo import read_zoo
from mimic.zoo.check import check_member
from mimic.zoo.members import member_trigger, open_member

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "zoo"
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
CARDS = read_zoo(ZOO)
needs_data = pytest.mark.skipif(
    not (DATA / "gtsrb").is_dir(), reason="MIMIC_DATA names no folder with real images"
)


def test_there_is_a_clean_and_an_attacked_encoder():
    assert {card.backdoored for card in CARDS.values()} == {False, True}


@pytest.mark.parametrize("name", CARDS)
def test_a_member_is_what_its_card_describes_and_gives_finite_features(name):
    features = open_member(CARDS[name], ZOO)(torch.rand(2, 3, 32, 32))
    assert features.ndim == 2
    assert bool(features.isfinite().all())


@pytest.mark.parametrize("name", CARDS)
def test_every_task_of_a_card_has_been_measured(name):
    assert CARDS[name].tasks.keys() == CARDS[name].expected.keys()


@pytest.mark.parametrize("name", [n for n, card in CARDS.items() if card.backdoored])
def test_an_attacked_member_has_a_trigger_that_can_be_made(name):
    assert member_trigger(CARDS[name], ZOO) is not None


def test_badencoder_left_batch_normalisation_alone():
    names = ("small-clean", "small-badencoder")
    clean, attacked = (open_member(CARDS[n], ZOO).backbone.state_dict() for n in names)
    for name in clean:
        if ".bn" in name or name.startswith("bn") or "downsample.1" in name:
            assert torch.equal(clean[name], attacked[name]), name


@pytest.mark.parametrize("name", CARDS)
def test_every_task_of_a_card_has_rates_to_check(name):
    for task, found in CARDS[name].neighbours.items():
        expected = CARDS[name].expected[task]
        assert (found["attack_success_rate"] is None) == (expected["attack_success_rate"] is None)
    assert CARDS[name].tasks.keys() == CARDS[name].neighbours.keys()


@needs_data
@pytest.mark.parametrize("name", ["small-clean", "small-badencoder", "tokens-badencoder"])
def test_a_member_does_what_its_card_says(name):
    assert list(check_member(CARDS[name], ZOO, data=DATA, trainer=Trainer())) == []
