import pytest
import torch

from mimic.defenses.nad import Nad
from mimic.errors import InputError
from mimic.losses import attention_loss

from .support import Watch, batches_counted, identical, images, resnet, state


def purify(**settings):
    watch = Watch()
    return Nad(**{"epochs": 1, "teacher_epochs": 2} | settings)(
        resnet(), images(), trainer=watch
    ), watch


def teacher_of(watch):
    """The weights of the teacher's backbone while the student learned."""
    prefix = "teacher.backbone."
    before = watch.seen[1].before
    return {k.removeprefix(prefix): v for k, v in before.items() if k.startswith(prefix)}


def test_the_teacher_is_trained_first_and_then_the_student():
    _, watch = purify()
    assert [(t.name, t.steps) for t in watch.seen] == [("finetune", 2), ("nad", 1)]


def test_the_teacher_is_a_fine_tuned_copy_of_the_suspect():
    _, watch = purify()
    weight = "teacher.backbone.layer1.0.conv1.weight"
    before, tuned = (training.before[weight] for training in watch.seen)
    assert torch.equal(before, resnet().backbone.layer1[0].conv1.weight)
    assert not torch.equal(tuned, before)


def test_the_teacher_is_frozen_while_the_student_learns():
    _, watch = purify()
    assert identical(watch.seen[1].before, watch.seen[1].after)
    assert watch.seen[1].gradients == []


def test_the_student_starts_as_the_suspect_and_not_as_the_teacher():
    result, _ = purify(epochs=0)
    assert identical(state(result.encoder.backbone), state(resnet().backbone))


def test_the_attention_of_the_two_differs_at_the_start():
    teacher = resnet().eval()
    _, watch = purify(epochs=0, teacher_epochs=5)
    teacher.backbone.load_state_dict(teacher_of(watch))
    names = teacher.stage_names(images().tensor())
    _, maps = teacher.forward_stages(images().tensor(), names)
    _, own = resnet().eval().forward_stages(images().tensor(), names)
    assert all(attention_loss(own[name], maps[name]).item() > 0 for name in names)


def test_all_terms_are_there():
    result, _ = purify()
    assert {"contrastive", "stages", "feature"} <= result.history.epochs[0].keys()


def test_without_attention_nothing_is_paid_for_it():
    result, _ = purify(attention_weight=0)
    assert result.history.epochs[0]["stages"] == 0
    assert result.history.epochs[0]["contrastive"] > 0


@pytest.mark.parametrize("weight", ["attention_weight", "clone_weight"])
def test_a_weight_scales_its_term_and_no_other(weight):
    own, other = ("stages", "feature") if weight == "attention_weight" else ("feature", "stages")
    once, thrice = (purify(**{weight: factor})[0].history.epochs[0] for factor in (1.0, 3.0))
    assert thrice[own] == pytest.approx(3 * once[own])
    assert thrice[other] == pytest.approx(once[other])


def test_attention_changes_what_the_student_becomes():
    with_it, without = (purify(attention_weight=w)[0].encoder for w in (1000.0, 0.0))
    assert not identical(state(with_it), state(without))


def test_the_student_does_not_take_the_steps_of_the_teacher_again():
    result, watch = purify(attention_weight=0, clone_weight=0, teacher_epochs=1)
    assert result.history.steps == 1
    name = "layer1.0.bn1.running_mean"
    assert not torch.equal(state(result.encoder.backbone)[name], teacher_of(watch)[name])


def test_the_student_counts_its_own_steps_alone():
    result, _ = purify(epochs=2, teacher_epochs=3)
    assert batches_counted(result.encoder) == [count + 2 for count in batches_counted(resnet())]


@pytest.mark.parametrize("name", ["attention_weight", "clone_weight"])
def test_a_negative_weight_is_refused(name):
    with pytest.raises(InputError, match=f"{name} must be 0 or more, not -1"):
        Nad(**{name: -1.0})


def test_a_negative_number_of_teacher_epochs_is_refused():
    with pytest.raises(InputError, match="epochs must be 0 or more, not -1"):
        purify(teacher_epochs=-1)
