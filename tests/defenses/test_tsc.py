from functools import cache

import pytest
import torch
from torch import Tensor

from mimic.defenses.tsc import Tsc
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.training import Trainer

from .support import Training, Watch, identical, images, resnet, state


def defense(**settings) -> Tsc:
    chosen = {"epochs": 1, "batch_size": 32, "finetune_epochs": 1, "rounds": 2}
    return Tsc(**(chosen | settings))


@cache
def trainings() -> dict[str, Training]:
    """What happens in two short rounds, in order."""
    watch = Watch()
    defense()(resnet(), images(), trainer=watch)
    return {training.name: training for training in watch.seen}


def end_of(name: str, which: str) -> Encoder:
    """The encoder at one end of a curve."""
    encoder, found = resnet(), trainings()[name].before
    with torch.no_grad():
        for key, tensor in (*encoder.named_parameters(), *encoder.named_buffers()):
            tensor.copy_(found[f"{which}.{key}"])
    return encoder.eval()


def features(encoder: Encoder) -> Tensor:
    with torch.no_grad():
        return encoder(images().tensor())


def test_each_round_goes_away_and_back_and_all_but_the_last_fine_tune():
    assert list(trainings()) == [
        "tsc-0-finetune",
        "tsc-1-away",
        "tsc-1-back",
        "tsc-1-finetune",
        "tsc-2-away",
        "tsc-2-back",
    ]


@pytest.mark.parametrize("number", [1, 2])
def test_the_way_out_leads_to_a_permuted_copy(number):
    start, end = (end_of(f"tsc-{number}-away", which) for which in ("start", "end"))
    assert (features(start) - features(end)).abs().max() < 1e-4
    moved = {k for k, w in state(start).items() if not torch.equal(w, state(end)[k])}
    assert {f"backbone.layer{i}.0.conv1.weight" for i in (1, 2, 3, 4)} <= moved


def test_the_way_back_starts_at_the_current_encoder_permuted():
    current, aligned = end_of("tsc-1-away", "start"), end_of("tsc-1-back", "start")
    assert (features(current) - features(aligned)).abs().max() < 1e-4


def test_the_way_back_starts_nearer_to_where_it_leads_than_the_way_out():
    def distance(name):
        first, second = (end_of(name, which).parameters() for which in ("start", "end"))
        pairs = zip(first, second, strict=True)
        return sum((a - b).square().sum().item() for a, b in pairs)

    assert distance("tsc-1-back") < distance("tsc-1-away")


def test_the_way_back_leads_to_the_point_of_the_way_out():
    # the last point of the way out is its end, whose weights nothing has trained
    watch = Watch()
    defense(rounds=1, finetune_epochs=0, point=1.0)(resnet(), images(), trainer=watch)
    out, back = (training.before for training in watch.seen[-2:])
    for key, _ in resnet().named_parameters():
        assert torch.equal(back[f"end.{key}"], out[f"end.{key}"]), key


def test_the_point_zero_of_the_only_round_is_the_encoder_up_to_a_permutation():
    # a curve that is left where it starts: what remains is the aligned copy, with new statistics
    found = defense(rounds=1, finetune_epochs=0, point=0.0)(resnet(), images(), trainer=Watch())
    for (key, weight), before in zip(
        found.encoder.named_parameters(), resnet().parameters(), strict=True
    ):
        assert torch.equal(weight.flatten().sort()[0], before.flatten().sort()[0]), key


def test_views_share_a_point_unless_told_otherwise():
    shared, own = (
        defense(rounds=1, shared_point=flag)(resnet(), images(), trainer=Watch()).encoder
        for flag in (True, False)
    )
    assert Tsc().shared_point
    assert not identical(state(shared), state(own))


def test_a_finished_run_is_resumed_without_training(tmp_path):
    def run(resume):
        trainer = Trainer(device="cpu", precision="32-true", folder=tmp_path, resume=resume)
        return state(defense()(resnet(), images(), trainer=trainer).encoder)

    first = run(False)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt")}
    assert len(before) == 6
    assert identical(run(True), first)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt")} == before


@pytest.mark.parametrize("epochs", [0, 1])
def test_an_encoder_without_permutable_channels_is_refused_before_any_training(epochs):
    tokens = Encoder(build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4"))
    watch = Watch()
    with pytest.raises(InputError, match="no channels can be permuted"):
        defense(epochs=epochs)(tokens, images(), trainer=watch)
    assert watch.seen == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"point": 1.5}, "between 0 and 1"),
        ({"epochs": -1}, "0 or more"),
        ({"finetune_epochs": -1}, "0 or more"),
        ({"rounds": 0}, "rounds must be 1 or more"),
        ({"decay": -1e-4}, "decay must be 0 or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, message):
    with pytest.raises(InputError, match=message):
        Tsc(**setting)
