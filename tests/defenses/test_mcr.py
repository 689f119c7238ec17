import pytest
import torch

from mimic.defenses.mcr import Mcr
from mimic.errors import InputError
from mimic.training import Trainer

from .support import Watch, identical, images, resnet, state


def purified(trainer=None, **settings):
    """A point of a short curve."""
    chosen = {"epochs": 1, "batch_size": 16, "finetune_epochs": 1, "finetune_rate": 1e-2}
    defense = Mcr(**(chosen | settings))
    return defense(resnet(), images(), trainer=trainer or Watch()).encoder


def weights(encoder) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in encoder.named_parameters()}


def test_the_copy_is_fine_tuned_before_the_curve_is_trained():
    watch = Watch()
    purified(watch, epochs=3, finetune_epochs=2)
    assert [(t.name, t.steps) for t in watch.seen] == [("mcr-finetune", 4), ("mcr-curve", 6)]


def test_the_curve_begins_at_the_suspect():
    assert identical(weights(purified(point=0.0)), weights(resnet()))


def test_the_curve_does_not_move_its_ends():
    ends = [weights(purified(point=1.0, epochs=epochs)) for epochs in (1, 2)]
    assert identical(*ends)


def test_a_curve_whose_middle_stays_is_a_straight_line():
    suspect, copy = weights(resnet()), weights(purified(point=1.0))
    for name, weight in weights(purified(point=0.4, learning_rate=0.0)).items():
        torch.testing.assert_close(weight, torch.lerp(suspect[name], copy[name], 0.4))


def test_training_bends_the_line():
    straight, bent = weights(purified(learning_rate=0.0)), weights(purified())
    assert [name for name in straight if torch.equal(straight[name], bent[name])] == []


def test_the_point_has_statistics_of_its_own():
    suspect, found = dict(resnet().named_buffers()), dict(purified(point=0.0).named_buffers())
    moved = [key for key in suspect if key.endswith("running_mean")]
    assert not any(torch.equal(suspect[key], found[key]) for key in moved)


def test_a_finished_run_is_resumed_without_training(tmp_path):
    def kept(resume):
        return Trainer(device="cpu", precision="32-true", folder=tmp_path, resume=resume)

    first = state(purified(kept(False)))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt")}
    assert identical(state(purified(kept(True))), first)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt")} == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"point": -0.1}, "between 0 and 1"),
        ({"point": 1.1}, "between 0 and 1"),
        ({"point": float("nan")}, "between 0 and 1"),
        ({"epochs": -1}, "0 or more"),
        ({"finetune_epochs": -1}, "0 or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, message):
    with pytest.raises(InputError, match=message):
        Mcr(**setting)
