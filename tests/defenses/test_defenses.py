"""What every defence owes its caller: one table, one row per defence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Literal

import pytest
import torch

from mimic.defenses import DEFENSES, SUMMARIES, Defense, Purification
from mimic.encoders.checks import count_hooks
from mimic.encoders.encoder import Encoder
from mimic.seeds import seed_of

from .support import (
    OwnNetwork,
    State,
    Training,
    Watch,
    batches_counted,
    hasty_localization,
    identical,
    images,
    resnet,
    state,
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What sort of method it is.

    Attributes:
        start: what the student is before it is trained: the "suspect", "random" weights, or the
            method's "own" mixture.
        trains: what comes back has been trained: all of its weights change in one epoch.
        counts: batch normalisation of what comes back has counted one batch per step.
        seeded: another seed gives another result, even after one epoch.
        teacher: some training looks at a frozen encoder.
    """

    start: Literal["suspect", "random", "own"]
    trains: bool = True
    counts: bool = True
    seeded: bool = True
    teacher: bool = True


RESTARTING = Kind(start="random")
CONTINUING = Kind(start="suspect")
MASKING = Kind(start="suspect", trains=False, counts=False, seeded=False)
UNTRAINED = Kind(start="own", trains=False, counts=False, seeded=False, teacher=False)

KINDS: dict[str, Kind] = {
    "mimic": RESTARTING,
    "mimic-published": RESTARTING,
    "mimic-described": RESTARTING,
    "finetune": CONTINUING,
    "ft-sam": CONTINUING,
    "fine-pruning": Kind(start="own"),
    "anp": MASKING,
    "rnp": MASKING,
    "clp": UNTRAINED,
    "bnp": UNTRAINED,
    "nad": CONTINUING,
    "i-bau": Kind(start="suspect", trains=False, counts=False),
    "mcr": CONTINUING,
    "tsc": Kind(start="suspect", counts=False),
    "ssl-cleanse": CONTINUING,
    "moth": CONTINUING,
    "bmaiu": Kind(start="suspect", trains=False, counts=False),
    "bcu": Kind(start="own"),
    "medic": RESTARTING,
    **{name: RESTARTING for name in DEFENSES if name.startswith("distill-")},
    "scratch": Kind(start="random", teacher=False),
    "nothing": replace(UNTRAINED, start="suspect"),
}
HASTY = {
    "information_epochs": 1,
    "finetune_epochs": 1,
    "unlearn_epochs": 2,
    "implant_epochs": 1,
    "inversion_steps": 2,
    "rounds": 1,
}
"""Settings that make a method short, where it has them."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one call of a defence did."""

    suspect: Encoder
    result: Purification
    trainings: list[Training]
    randomness_untouched: bool


@pytest.fixture(autouse=True)
def _hasty() -> Iterator[None]:
    with hasty_localization():
        yield


@pytest.fixture(params=sorted(DEFENSES))
def name(request) -> str:
    return request.param


def only(condition: Callable[[Kind], bool]) -> list[str]:
    """The defences of which something can be said."""
    return sorted(name for name, kind in KINDS.items() if condition(kind))


def hasty(name: str, *, epochs: int = 1, seed: int = 0) -> Defense:
    """The defence with as little work as it can do."""
    defense = DEFENSES[name]
    known = {field.name for field in fields(defense)}
    defense = replace(defense, **{key: HASTY[key] for key in HASTY if key in known})
    return defense.with_settings(epochs=epochs if defense.trains else None, seed=seed)


@cache
def outcome(name: str, *, epochs: int = 1, seed: int = 0, again: bool = False) -> Outcome:
    """Purify the tiny ResNet, once for all tests; `again` asks for a second run."""
    del again
    suspect, watch = resnet(), Watch()
    randomness = torch.get_rng_state()
    result = hasty(name, epochs=epochs, seed=seed)(suspect, images(), trainer=watch)
    return Outcome(
        suspect=suspect,
        result=result,
        trainings=watch.seen,
        randomness_untouched=torch.equal(torch.get_rng_state(), randomness),
    )


def purified(name: str) -> Encoder:
    return outcome(name).result.encoder


def backbone(name: str, **settings) -> State:
    return state(outcome(name, **settings).result.encoder.backbone)


def test_the_suspect_is_bit_identical_afterwards(name):
    assert identical(state(outcome(name).suspect), state(resnet()))


def test_the_suspect_keeps_its_modes_and_flags(name):
    suspect, untouched = outcome(name).suspect, resnet()
    assert [m.training for m in suspect.modules()] == [m.training for m in untouched.modules()]
    assert [p.requires_grad for p in suspect.parameters()] == [
        p.requires_grad for p in untouched.parameters()
    ]
    assert all(p.grad is None for p in suspect.parameters())


def test_keys_shapes_and_dtypes_are_those_of_the_suspect(name):
    def facts(encoder: Encoder) -> list[tuple]:
        return [(k, v.shape, v.dtype) for k, v in encoder.backbone.state_dict().items()]

    assert facts(purified(name)) == facts(resnet())


def test_nothing_is_nan_or_infinite(name):
    assert all(v.isfinite().all() for v in backbone(name).values())


def test_no_hook_is_left_behind(name):
    assert count_hooks(purified(name)) == 0


def test_requires_grad_is_as_it_was(name):
    found = [p.requires_grad for p in purified(name).parameters()]
    assert found == [p.requires_grad for p in resnet().parameters()]


def test_the_result_is_in_eval_mode(name):
    assert not any(m.training for m in purified(name).modules())


def test_the_input_is_normalised_as_before(name):
    encoder, suspect = purified(name), resnet()
    assert torch.equal(encoder.mean, suspect.mean)
    assert torch.equal(encoder.std, suspect.std)


def test_the_same_seed_gives_the_same_weights(name):
    assert identical(backbone(name), backbone(name, again=True))


@pytest.mark.parametrize("name", only(lambda kind: kind.seeded))
def test_another_seed_gives_other_weights(name):
    assert not identical(backbone(name), backbone(name, seed=1))


@pytest.mark.parametrize("name", only(lambda kind: kind.start == "suspect"))
def test_zero_epochs_give_the_suspect(name):
    assert identical(backbone(name, epochs=0), state(resnet().backbone))


@pytest.mark.parametrize("name", only(lambda kind: kind.start == "random"))
def test_zero_epochs_give_random_weights(name):
    assert identical(
        backbone(name, epochs=0), state(resnet().reinitialized(seed_of("student", 0)).backbone)
    )


@pytest.mark.parametrize("name", only(lambda kind: kind.trains))
def test_one_epoch_changes_every_weight(name):
    before, after = backbone(name, epochs=0), backbone(name)
    assert [key for key in before if torch.equal(before[key], after[key])] == []


def test_each_batch_normalisation_counts_one_batch_per_step_or_none(name):
    for training in outcome(name).trainings:
        counted = set(training.counted)
        assert counted in (set(), {0}, {training.steps}), training.name


def test_the_teacher_stays_as_it_is(name):
    for training in outcome(name).trainings:
        assert identical(training.before, training.after), training.name


def test_whoever_distils_has_a_teacher(name):
    assert any(t.before for t in outcome(name).trainings) == KINDS[name].teacher


def test_the_teacher_gathers_no_gradients(name):
    for training in outcome(name).trainings:
        assert training.gradients == [], training.name


@pytest.mark.parametrize("name", only(lambda kind: kind.counts))
def test_the_student_counts_what_it_was_trained_for(name):
    start = batches_counted(outcome(name, epochs=0).result.encoder)
    assert batches_counted(purified(name)) == [count + 1 for count in start]


@pytest.mark.parametrize("name", only(lambda kind: kind.trains or kind.teacher))
def test_the_history_says_how_long_it_was_trained(name):
    assert outcome(name).result.history.steps == 1
    assert [record["epoch"] for record in outcome(name).result.history.epochs] == [1]


def test_a_localization_weighs_the_stages_of_the_suspect(name):
    found = outcome(name).result.localization
    if found is not None:
        assert tuple(found.weights) == resnet().stage_names(images().tensor())


def test_random_states_are_as_they_were(name):
    assert outcome(name).randomness_untouched


def test_it_runs_on_a_network_and_a_shape_of_the_users_own(name):
    few = images(16, (40, 56))
    result = hasty(name)(Encoder(OwnNetwork()), few, trainer=Watch())
    assert isinstance(result.encoder.backbone, OwnNetwork)
    assert result.encoder(few.tensor()).shape == (16, 6)


def test_it_has_a_line_for_lists(name):
    assert 20 < len(SUMMARIES[name]) < 90


def test_there_is_no_line_without_a_defence():
    assert SUMMARIES.keys() == DEFENSES.keys() == KINDS.keys()
