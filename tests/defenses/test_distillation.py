from functools import cache
from typing import get_args

import pytest
import torch

from mimic.defenses import distillation
from mimic.defenses.distillation import (
    Distillation,
    DistillationObjective,
    Way,
    anchor_features,
    stage_widths,
)
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.losses import (
    AttendedLoss,
    anchor_loss,
    attention_loss,
    clone_loss,
    correlation_loss,
    hint_loss,
    nt_xent,
    relational_loss,
    similarity_loss,
    transfer_loss,
)
from mimic.losses.anchors import channel_divergence_as_coded
from mimic.losses.correlation import correlation_as_coded
from mimic.seeds import seed_of
from mimic.training import Trainer

from .support import Watch, frozen, identical, images, resnet, state

STAGES = ["layer1", "layer2", "layer3"]
WAYS = get_args(Way)
CODED = ("kd", "sp", "cc", "afd")
EVERY = [(way, False) for way in WAYS] + [(way, True) for way in CODED]
IN_WORDS = [way + (" as coded" if coded else "") for way, coded in EVERY]
every_way = pytest.mark.parametrize(("way", "as_coded"), EVERY, ids=IN_WORDS)
MAPS_ALONE = {
    ("at", False): (attention_loss, 1000),
    ("fitnet", False): (hint_loss, 1000),
    ("cc", False): (correlation_loss, 1000),
    ("cc", True): (correlation_as_coded, 1000),
}
MAPS_AND_FEATURES = {
    ("atd", False): (attention_loss, 1000),
    ("sp", False): (similarity_loss, 1000),
    ("pkt", False): (transfer_loss, 1000),
    ("rkd", False): (relational_loss, 1),
}
UNIFORM = MAPS_ALONE | MAPS_AND_FEATURES


class Brighter(torch.nn.Module):
    """An augmentation whose second views are brighter than the first ones."""

    def forward(self, views):
        first, second = views.chunk(2)
        return torch.cat([first, 0.5 + 0.5 * second])


def objective(way, as_coded=False, student=None):
    """A student in evaluation mode, and its teacher; the second view is brighter than the first."""
    teacher = resnet()
    recipe = Distillation(way=way, as_coded=as_coded).recipe(teacher, images(), Watch())
    student = student or resnet().reinitialized(0)
    built = DistillationObjective(student, teacher, (8, 8), recipe=recipe)
    built.augment = Brighter()
    return built.eval()


def seen_by(built):
    """What the student and the teacher make of the first view, and the student of the second."""
    first = images().tensor() / 255
    own, maps = built.encoder.forward_stages(first, STAGES)
    wanted, wanted_maps = built.teacher.forward_stages(first, STAGES)
    return own, maps, wanted, wanted_maps, built.encoder(0.5 + 0.5 * first)


@cache
def terms(way, as_coded=False):
    """The objective, what it computes, and what both networks put out."""
    built = objective(way, as_coded)
    return built, built(images().tensor()), seen_by(built)


@every_way
def test_two_views_of_the_student_are_contrasted(way, as_coded):
    built, found, (own, *_, brighter) = terms(way, as_coded)
    projections = [built.learner["head"](features) for features in (own, brighter)]
    torch.testing.assert_close(found["contrastive"], nt_xent(*projections))


@pytest.mark.parametrize(("way", "as_coded"), UNIFORM)
def test_the_loss_of_maps_is_summed_over_stages(way, as_coded):
    _, found, (_, maps, _, wanted_maps, _) = terms(way, as_coded)
    loss, weight = UNIFORM[way, as_coded]
    expected = weight * sum(loss(maps[name], wanted_maps[name]) for name in STAGES)
    torch.testing.assert_close(found["stages"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("way", "as_coded"), [*MAPS_AND_FEATURES, ("sp", True)])
def test_the_clone_loss_is_added_with_weight_one(way, as_coded):
    _, found, (own, _, wanted, _, _) = terms(way, as_coded)
    torch.testing.assert_close(found["feature"], clone_loss(own, wanted))


@pytest.mark.parametrize(("way", "as_coded"), [*MAPS_ALONE, ("afd", False), ("afd", True)])
def test_features_are_not_compared_where_the_study_does_not(way, as_coded):
    assert list(terms(way, as_coded)[1]) == ["contrastive", "stages"]


def test_answers_to_anchors_are_compared_and_no_maps():
    _, found, (own, _, wanted, _, _) = terms("kd")
    anchors = anchor_features(resnet(), images(), Watch(), seed=0)
    torch.testing.assert_close(found["feature"], 1000 * anchor_loss(own, wanted, anchors))
    assert list(found) == ["contrastive", "feature"]


def test_attended_channels_are_compared_by_the_attention_of_the_learner():
    built, found, (_, maps, _, wanted_maps, _) = terms("afd")
    losses = zip(built.learner["losses"], STAGES, strict=True)
    expected = 1000 * sum(loss(maps[name], wanted_maps[name]) for loss, name in losses)
    torch.testing.assert_close(found["stages"], expected)


def test_divergence_as_coded_looks_at_the_first_stage_alone():
    _, found, (_, maps, _, wanted_maps, _) = terms("kd", True)
    expected = 1000 * channel_divergence_as_coded(maps["layer1"], wanted_maps["layer1"])
    torch.testing.assert_close(found["stages"], expected)
    assert list(found) == ["contrastive", "stages"]


def test_similarity_as_coded_looks_at_features_alone():
    assert list(terms("sp", True)[1]) == ["contrastive", "feature"]


@every_way
def test_a_perfect_student_pays_for_the_contrast_alone(way, as_coded):
    found = objective(way, as_coded, student=resnet())(images().tensor())
    contrast = found.pop("contrastive")
    assert contrast.item() > 0.1
    assert sum(term.item() for term in found.values()) == pytest.approx(0, abs=1e-5)


@every_way
def test_every_way_pulls_at_a_random_student(way, as_coded):
    built = objective(way, as_coded)
    found = built(images().tensor())
    del found["contrastive"]
    sum(found.values()).backward()
    gradients = [
        p.grad.abs().max().item() for p in built.encoder.parameters() if p.grad is not None
    ]
    assert max(gradients) > 1e-4


@every_way
def test_only_attention_is_trained_beside_encoder_and_head(way, as_coded):
    trained = [type(loss) for loss in objective(way, as_coded).learner["losses"]]
    assert trained == ([AttendedLoss] * 3 if (way, as_coded) == ("afd", False) else [])


@every_way
def test_every_way_trains_a_model_of_tokens(way, as_coded):
    suspect = Encoder(build_backbone("vit_tiny:dim=8,depth=4,heads=2,patch=4"))
    watch = Watch()
    defense = Distillation(way=way, as_coded=as_coded, epochs=1)
    result = defense(suspect, images(), trainer=watch)
    assert not identical(state(result.encoder), state(suspect.reinitialized(seed_of("student", 0))))
    assert [training.name for training in watch.seen] == [
        f"distill-{way}" + ("-as-coded" if as_coded else "")
    ]


def test_the_names_are_those_of_the_study():
    assert WAYS == ("at", "atd", "fitnet", "kd", "sp", "cc", "afd", "pkt", "rkd")


def test_an_unknown_way_is_refused():
    with pytest.raises(InputError, match="way 'AT' is unknown; there are at, atd, fitnet"):
        Distillation(way="AT")


def test_an_unknown_teacher_is_refused():
    with pytest.raises(InputError, match="teacher 'clean' is unknown; use suspect or fine-tuned"):
        Distillation(teacher="clean")


@pytest.mark.parametrize("way", sorted(set(WAYS) - set(CODED)))
def test_a_way_that_was_not_coded_otherwise_has_no_coded_reading(way):
    with pytest.raises(InputError, match=f"kd, sp, cc, afd.*leave it out for '{way}'"):
        Distillation(way=way, as_coded=True)


def test_anchors_are_features_of_different_images_of_the_set():
    anchors = anchor_features(resnet(), images(), Watch(), seed=0)
    with torch.no_grad():
        features = torch.nn.functional.normalize(resnet().eval()(images().tensor()), dim=1)
    closest = (anchors @ features.T).max(dim=1)
    torch.testing.assert_close(closest.values, torch.ones(32))
    assert sorted(closest.indices.tolist()) == list(range(32))


def test_a_bank_holds_so_many_anchors_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr(distillation, "ANCHORS", 5)
    first, again, other = (anchor_features(resnet(), images(), Watch(), seed=s) for s in (0, 0, 1))
    assert first.shape == (5, 32)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_width_of_a_stage_is_that_of_its_maps_or_tokens():
    tokens = Encoder(build_backbone("vit_tiny:dim=8,depth=4,heads=2,patch=4"))
    names = list(tokens.stage_names(images().tensor()))
    assert stage_widths(resnet(), images(), STAGES) == dict(zip(STAGES, (4, 8, 16), strict=True))
    assert stage_widths(tokens, images(), names) == dict.fromkeys(names, 8)


def test_the_suspect_itself_is_the_teacher():
    watch = Watch()
    Distillation(way="at", epochs=1)(resnet(), images(), trainer=watch)
    (training,) = watch.seen
    teacher = {k.removeprefix("teacher."): v for k, v in training.before.items()}
    suspect = state(resnet())
    assert all(torch.equal(teacher[name], suspect[name]) for name in suspect)


def test_a_fine_tuned_teacher_is_trained_first_and_differs_from_the_suspect():
    watch = Watch()
    defense = Distillation(way="at", epochs=1, teacher="fine-tuned", teacher_epochs=2)
    defense(resnet(), images(), trainer=watch)
    tuning, distilling = watch.seen
    assert (tuning.name, tuning.steps) == ("finetune", 2)
    assert (distilling.name, distilling.steps) == ("distill-at", 1)
    weight = "teacher.backbone.layer1.0.conv1.weight"
    assert not torch.equal(distilling.before[weight], tuning.before[weight])
    assert distilling.gradients == []


def test_anchors_are_features_of_the_teacher_that_was_fine_tuned():
    watch, teacher = Watch(), resnet()
    defense = Distillation(way="kd", epochs=1, teacher="fine-tuned", teacher_epochs=2)
    defense(resnet(), images(), trainer=watch)
    held = watch.seen[-1].before
    teacher.load_state_dict({name: held[f"teacher.{name}"] for name in teacher.state_dict()})
    expected = anchor_features(teacher, images(), Watch(), seed=0)
    torch.testing.assert_close(held["frozen.anchors"], expected)


def test_a_fine_tuned_teacher_leaves_the_student_its_random_start():
    defense = Distillation(way="at", epochs=0, teacher="fine-tuned", teacher_epochs=1)
    student = defense(resnet(), images(), trainer=Watch()).encoder
    assert identical(
        state(student.backbone), state(resnet().reinitialized(seed_of("student", 0)).backbone)
    )


def test_anchors_are_frozen():
    assert "frozen.anchors" in frozen(objective("kd"))


@pytest.mark.parametrize("way", ["afd", "kd"])
def test_a_finished_run_is_not_repeated(way, tmp_path):
    defense = Distillation(way=way, epochs=2, teacher="fine-tuned", teacher_epochs=1)
    setting = {"device": "cpu", "precision": "32-true", "folder": tmp_path}
    first = defense(resnet(), images(), trainer=Trainer(**setting))
    again = defense(resnet(), images(), trainer=Trainer(**setting, resume=True))
    assert identical(state(first.encoder), state(again.encoder))
    assert first.history.epochs == again.history.epochs
