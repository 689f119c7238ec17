"""A configuration says what is wrong with it before anything runs."""

from pathlib import Path

import pytest

from mimic.attacks import ATTACKS
from mimic.benchmark import read_config
from mimic.defenses import DEFENSES
from mimic.errors import InputError

from .support import FINETUNE, HEAD, SCENARIO, SCRATCH

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.toml")), ids=lambda path: path.name)
def test_the_configurations_of_the_project_can_be_read(path):
    assert read_config(path).scenarios


def test_the_grid_has_every_attack_and_every_defence():
    grid = read_config(BENCHMARKS / "grid.toml")
    assert {scenario.card.attack for scenario in grid.scenarios} == set(ATTACKS)
    assert {contender.name for contender in grid.contenders} == set(DEFENSES)


def test_the_grid_knows_the_clean_encoder_behind_each_attacked_one():
    grid = read_config(BENCHMARKS / "grid.toml")
    assert [scenario.name for scenario in grid.scenarios if scenario.origin is None] == []


def test_settings_override_the_defaults_of_a_defence(write):
    text = '[[defense]]\nname = "mimic"\nepochs = 3\nweighting = "uniform"\n'
    (contender,) = read_config(write(HEAD, SCENARIO, text)).contenders
    assert (contender.label, contender.defense.epochs) == ("mimic", 3)
    assert contender.defense.weighting == "uniform"
    assert contender.defense.batch_size == 64


def test_a_preset_keeps_what_is_not_overridden(write):
    text = '[[defense]]\nname = "mimic-described"\nlabel = "as described"\nepochs = 3\n'
    (contender,) = read_config(write(HEAD, SCENARIO, text)).contenders
    assert (contender.name, contender.label) == ("mimic-described", "as described")
    assert contender.defense.measured_on == "teacher"


def test_seeds_and_hardware_have_defaults(write):
    bench = read_config(write("ratios = [0.1]\n", SCENARIO, SCRATCH))
    assert (bench.seeds, bench.probes) == ((0,), ("mlp",))
    assert (bench.device, bench.precision) == ("auto", "auto")


@pytest.mark.parametrize(("line", "kept"), [("", True), ("keep_encoders = false\n", False)])
def test_purified_encoders_are_kept_unless_it_is_said(write, line, kept):
    assert read_config(write(line, HEAD, SCENARIO, SCRATCH)).keep_encoders is kept


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((HEAD, "seed = [0]\n", SCENARIO, SCRATCH), "'seed' of the configuration.*mean 'seeds'"),
        ((HEAD, "seeds = ['a']\n", SCENARIO, SCRATCH), r"seeds\[0\] must be a whole number"),
        ((HEAD, "seeds = [1, 1]\n", SCENARIO, SCRATCH), "seed '1' is there more than once"),
        ((HEAD, "seeds = []\n", SCENARIO, SCRATCH), "at least one seed"),
        ((HEAD, "ratios = [0.1]\n", SCENARIO, SCRATCH), "either ratios or counts"),
        ((SCENARIO, SCRATCH), "either ratios or counts"),
        (("ratios = [4]\n", SCENARIO, SCRATCH), r"above 0 and at most 1, not \[4.0\]"),
        (("counts = [0]\n", SCENARIO, SCRATCH), r"counts must be 1 or more, not \[0\]"),
        ((HEAD.replace("knn", "kn"), SCENARIO, SCRATCH), "probe 'kn'.*did you mean 'knn'"),
        ((HEAD, SCENARIO), "at least one defence"),
        ((HEAD, SCRATCH), "at least one scenario"),
        ((HEAD, SCENARIO, SCENARIO, SCRATCH), "scenario 'corner' is there more than once"),
        (
            (HEAD, SCENARIO, SCRATCH, SCRATCH),
            "'scratch' is there more than once; give each a label",
        ),
        ((HEAD, SCENARIO, FINETUNE.replace("finetune", "finetun")), "did you mean 'finetune'"),
        (
            (HEAD, SCENARIO, FINETUNE.replace("epochs", "epoch")),
            "'epoch' of defence 'finetune'.*mean 'epochs'",
        ),
        (
            (HEAD, SCENARIO, FINETUNE.replace("= 16", "= 'x'")),
            "finetune.batch_size must be a whole number",
        ),
        ((HEAD, SCENARIO, FINETUNE, "seed = 1\n"), "list seeds for all defences at the top"),
        ((HEAD, SCENARIO, "[[defense]]\nepochs = 1\n"), "the name of defence 1 must be text"),
        ((HEAD, SCENARIO, SCRATCH, 'label = "a\\u001b[1m"\n'), "cannot be shown"),
        (
            (HEAD, SCENARIO, '[[defense]]\nname = "mimic"\nweighting = "none"\n'),
            "one of information, uniform",
        ),
        (
            (HEAD, SCENARIO, '[[defense]]\nname = "mimic"\nrandom_share = 2.0\n'),
            "at most 1 together",
        ),
        (
            (HEAD, SCENARIO, FINETUNE.replace("epochs = 1", "epochs = -1")),
            "defence 1: epochs must be 0 or more, not -1",
        ),
        (
            (HEAD, SCENARIO, SCRATCH, FINETUNE.replace("= 16", "= 0")),
            "defence 2: the batch size must be 1 or more, not 0",
        ),
        (
            (HEAD, SCENARIO, FINETUNE, "learning_rate = -0.1\n"),
            "defence 1: the learning rate must be 0 or more, not -0.1",
        ),
        (("counts = [", SCENARIO), "cannot be read as TOML"),
        (("counts = " + "[" * 10_000 + "]" * 10_000, SCENARIO), "cannot be read as TOML"),
        ((f"ratios = [{10**400}]\n", SCENARIO, SCRATCH), r"ratios\[0\] must be a finite number"),
    ],
)
def test_what_is_wrong_is_named(write, parts, message):
    with pytest.raises(InputError, match=message):
        read_config(write(*parts))


def test_a_message_names_the_file(write):
    with pytest.raises(InputError, match=r"^'.*bench\.toml': "):
        read_config(write(HEAD))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no configuration '.*none\.toml'"):
        read_config(tmp_path / "none.toml")
