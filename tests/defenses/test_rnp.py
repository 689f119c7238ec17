import math
from dataclasses import replace

import pytest
import torch

from mimic.defenses.channel_masks import masked_forward
from mimic.defenses.holdout import hold_out, similarity
from mimic.defenses.rnp import RecoverObjective, Rnp, UnlearnObjective
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.losses import clone_loss
from mimic.training import Trainer

from .support import Watch, identical, images, resnet, state

FORGETFUL = Rnp(unlearn_learning_rate=0.5, batch_size=4, epochs=2)


class Brighter(torch.nn.Module):
    """An augmentation whose second views are brighter than the first ones."""

    def forward(self, images):
        first, second = images.chunk(2)
        return torch.cat([first, 0.5 + 0.5 * second])


def unlearned(defense: Rnp, watch: Trainer) -> tuple[Encoder, float]:
    """The copy that has forgotten, and how much of the suspect is left on images held out."""
    suspect = resnet().eval()
    learned, judged = hold_out(images())
    student = defense.unlearn(suspect, learned, judged, watch)
    return student, similarity(suspect, student, judged, watch)


def recovering() -> RecoverObjective:
    """A copy with other weights, behind masks, and the suspect; images are not augmented."""
    suspect, copy = resnet().eval(), resnet().reinitialized(1).eval()
    built = RecoverObjective(copy, suspect, (8, 8))
    built.augment = torch.nn.Identity()
    return built


def test_unlearning_minimises_the_cosine_between_two_views():
    built = UnlearnObjective(resnet().reinitialized(1).eval(), resnet().eval(), (8, 8))
    built.augment = Brighter()
    batch = images().tensor() / 255
    seen, other = built.learner(batch), built.teacher(0.5 + 0.5 * batch)
    cosine = torch.nn.functional.cosine_similarity(seen, other).mean()
    torch.testing.assert_close(built(batch)["cosine"], cosine)


def test_unlearning_pulls_from_the_first_step():
    student = resnet().requires_grad_(True).eval()
    built = UnlearnObjective(student, resnet().eval(), (8, 8))
    built.augment = Brighter()
    built(images().tensor())["cosine"].backward()
    assert max(p.grad.abs().max().item() for p in student.parameters()) > 1e-4


def test_the_unlearned_copy_is_at_most_as_similar_as_asked():
    _, left = unlearned(FORGETFUL, Watch())
    assert left <= FORGETFUL.stop


def test_unlearning_stops_as_soon_as_enough_is_forgotten():
    watch = Watch()
    unlearned(FORGETFUL, watch)
    assert 0 < len(watch.seen) < FORGETFUL.unlearn_epochs
    shorter = replace(FORGETFUL, unlearn_epochs=len(watch.seen) - 1)
    assert unlearned(shorter, Watch())[1] > FORGETFUL.stop


def test_unlearning_ends_after_its_epochs():
    watch = Watch()
    unlearned(Rnp(unlearn_epochs=2, stop=-1.0), watch)
    assert [training.name for training in watch.seen] == ["rnp-unlearn-1", "rnp-unlearn-2"]


def test_each_epoch_of_unlearning_sees_the_images_in_another_order(monkeypatch):
    plans = []
    monkeypatch.setattr(Trainer, "fit", lambda *arguments, **_: plans.append(arguments[3]))
    unlearned(Rnp(unlearn_epochs=12, stop=-1.0), Trainer(device="cpu", precision="32-true"))
    assert len({tuple(plan.order(0, 26).tolist()) for plan in plans}) == 12


def test_unlearning_slows_down_after_ten_epochs(monkeypatch):
    plans = []
    monkeypatch.setattr(Trainer, "fit", lambda *arguments, **_: plans.append(arguments[3]))
    unlearned(Rnp(unlearn_epochs=12, stop=-1.0), Trainer(device="cpu", precision="32-true"))
    rates = [plan.learning_rate for plan in plans]
    assert rates == pytest.approx([0.01] * 10 + [0.001] * 2)


def test_unlearning_counts_one_batch_per_step():
    watch = Watch()
    unlearned(Rnp(unlearn_epochs=1), watch)
    assert set(watch.seen[0].counted) == {1}


def test_recovering_compares_the_masked_copy_with_the_suspect_on_the_same_view():
    built = recovering()
    with torch.no_grad():
        built.learner.values[0].fill_(0.5)
    batch = images().tensor()
    features = masked_forward(built.unlearned, batch, built.learner.by_name())
    torch.testing.assert_close(built(batch)["clone"], clone_loss(features, built.teacher(batch)))


def test_recovering_trains_masks_only():
    watch = Watch()
    FORGETFUL(resnet(), images(), trainer=watch)
    last = watch.seen[-1]
    assert last.name == "rnp-recover"
    assert identical(last.before, last.after)
    assert any(name.startswith("unlearned") for name in last.before)


def test_the_unlearned_copy_holds_no_gradients_while_it_is_recovered():
    watch = Watch()
    FORGETFUL(resnet(), images(), trainer=watch)
    assert watch.seen[-1].gradients == []


def test_recovering_lowers_the_loss():
    result = Rnp(unlearn_learning_rate=0.5, epochs=10, learning_rate=1.0)(
        resnet(), images(), trainer=Watch()
    )
    losses = [record["clone"] for record in result.history.epochs]
    assert losses[-1] < losses[0]


def test_masks_end_in_the_unit_range():
    built = recovering()
    with torch.no_grad():
        built.learner.values[0].copy_(torch.tensor([-1.0, 0.5, 2.0, 1.0]))
    built.after_step()
    assert built.learner.values[0].tolist() == [0.0, 0.5, 1.0, 1.0]


def test_zero_epochs_of_recovering_give_the_suspect():
    purified = Rnp(epochs=0, unlearn_epochs=1, tolerance=2.0)(
        resnet(), images(), trainer=Watch()
    ).encoder
    assert identical(state(purified), state(resnet()))


def test_it_is_the_suspect_that_is_pruned():
    defense = Rnp(unlearn_learning_rate=0.5, epochs=5, learning_rate=20.0, tolerance=2.0)
    purified = defense(resnet(), images(), trainer=Watch()).encoder
    before, after = state(resnet()), state(purified)
    assert not identical(after, before)
    for name, value in after.items():
        assert torch.equal(value[value != 0], before[name][value != 0]), name


def test_a_finished_run_is_resumed_without_training(tmp_path):
    def purified(*, resume: bool) -> Encoder:
        return FORGETFUL(resnet(), images(), trainer=Watch(folder=tmp_path, resume=resume)).encoder

    def written() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt")}

    first, before = purified(resume=False), written()
    second = purified(resume=True)
    assert "rnp-recover.ckpt" in before
    assert written() == before
    assert identical(state(first), state(second))


def test_a_network_without_batch_normalisation_is_refused_before_any_training():
    backbone = build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4")
    watch = Watch()
    with pytest.raises(InputError, match="batch normalisation"):
        Rnp()(Encoder(backbone, image_size=8), images(), trainer=watch)
    assert watch.seen == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unlearn_epochs": -1}, "unlearn_epochs"),
        ({"stop": -1.5}, "stop"),
        ({"stop": math.nan}, "stop"),
        ({"tolerance": -0.1}, "tolerance"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Rnp(**settings)
