"""Stronger settings: a table for the default method, another seed for the others."""

import pytest

from mimic.defenses import DEFENSES, FineTune, Mimic
from mimic.verification.stronger import changes, stronger


@pytest.mark.parametrize("defense", DEFENSES.values(), ids=DEFENSES)
def test_the_first_attempt_is_what_was_asked_for(defense):
    assert stronger(defense, 1) is defense


@pytest.mark.parametrize(("attempt", "share"), [(2, 0.3), (3, 0.4), (4, 0.5), (5, 0.5)])
def test_the_default_method_trains_longer_and_sees_more_patches(attempt, share):
    wanted = Mimic(epochs=200, searched_share=share, seed=7 + attempt - 1)
    assert stronger(Mimic(epochs=100, searched_share=0.2, seed=7), attempt) == wanted


def test_a_share_that_is_high_already_stays():
    assert stronger(Mimic(searched_share=0.7), 3).searched_share == 0.7


def test_random_patches_keep_their_share():
    assert (
        stronger(
            Mimic(searched_share=0.2, recoloured_share=0, waved_share=0, random_share=0.75), 3
        ).searched_share
        == 0.25
    )


@pytest.mark.parametrize("attempt", range(2, 9))
@pytest.mark.parametrize("defense", DEFENSES.values(), ids=DEFENSES)
def test_every_attempt_has_a_seed_of_its_own(defense, attempt):
    assert stronger(defense, attempt).seed == defense.seed + attempt - 1


def test_other_methods_get_another_seed_alone():
    assert stronger(FineTune(epochs=9), 3) == FineTune(epochs=9, seed=2)


def test_what_differs_is_told():
    assert changes(Mimic(), stronger(Mimic(), 2)) == "epochs 200, seed 1, searched_share 0.3"
