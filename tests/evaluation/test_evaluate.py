"""Accuracy and attack success rates against hand-made tables."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation import evaluate as public_evaluate
from mimic.evaluation.evaluate import PROBES, evaluate
from mimic.evaluation.features import extract_features
from mimic.evaluation.intervals import wilson_interval
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

from .support import encoder, images, stamp

CPU = Trainer(device="cpu", precision="32-true")
BLUE = 2


def test_colours_are_told_apart_and_the_trigger_takes_over():
    result = evaluate(
        encoder(), images(60), images(30, seed=1), trigger=stamp, target=BLUE, trainer=CPU
    )
    assert (result.accuracy, result.attack_success_rate, result.attack_success_rate_all) == (
        1,
        1,
        1,
    )


@pytest.mark.parametrize("probe", ["knn", "linear", "mlp"])
def test_every_probe_can_be_asked_for(probe):
    result = evaluate(encoder(), images(60), images(30, seed=1), probe=probe, trainer=CPU)
    assert (result.probe, result.accuracy) == (probe, 1.0)


def test_the_heads_are_those_of_the_seeds_that_follow():
    generator = torch.Generator().manual_seed(0)
    noisy = [  # nothing in the images tells the classes, so that heads differ by chance
        ImageSet.from_tensor(
            torch.randint(0, 256, (count, 3, 6, 6), generator=generator, dtype=torch.uint8),
            torch.arange(count) % 3,
        )
        for count in (60, 100)
    ]
    settings = {"trigger": stamp, "target": BLUE, "trainer": CPU}
    found = evaluate(encoder(), *noisy, seed=4, heads=2, **settings)
    alone = [evaluate(encoder(), *noisy, seed=seed, **settings) for seed in (4, 5)]
    assert [one.seed for one in found.heads] == [4, 5]
    assert found.heads[0].accuracy != found.heads[1].accuracy
    assert found.heads == sum((one.heads for one in alone), start=())


def test_at_least_one_head_is_needed():
    with pytest.raises(InputError, match="heads must be 1 or more, not 0"):
        evaluate(encoder(), images(60), images(30), heads=0, trainer=CPU)


def test_features_are_computed_once_for_all_heads(monkeypatch):
    seen = []

    def counted(*args, **settings):
        seen.append(settings.get("trigger"))
        return extract_features(*args, **settings)

    for module in ("evaluate", "judging"):
        monkeypatch.setattr(sys.modules[f"mimic.evaluation.{module}"], "extract_features", counted)
    settings = {"trigger": stamp, "target": BLUE, "probe": "knn", "trainer": CPU}
    evaluate(encoder(), images(60), images(30), heads=3, **settings)
    assert seen == [None, None, stamp]


def test_a_head_of_the_old_encoder_still_works_on_an_equal_one():
    found = evaluate(encoder(), images(60), images(30), fitted_on=encoder(), trainer=CPU)
    assert found.accuracy == 1


def test_a_head_of_the_old_encoder_is_lost_on_one_that_means_other_things():
    swapped = encoder()
    swapped.backbone.weight.data = swapped.backbone.weight.data[:, [1, 2, 0]]
    assert evaluate(swapped, images(60), images(30), trainer=CPU).accuracy == 1
    found = evaluate(swapped, images(60), images(30), fitted_on=encoder(), trainer=CPU)
    assert found.accuracy == 0


def test_features_of_another_length_cannot_take_the_place_of_the_old_ones():
    longer = Encoder(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()))
    with pytest.raises(InputError, match="features of length 3, but the encoder gives 12"):
        evaluate(longer, images(60), images(30), fitted_on=encoder(), trainer=CPU)


def test_a_trigger_that_does_nothing_never_hits():
    result = evaluate(
        encoder(), images(60), images(30), trigger=lambda x: x, target=BLUE, trainer=CPU
    )
    assert result.attack_success_rate == 0
    assert result.attack_success_rate_all == pytest.approx(1 / 3)


def test_images_of_the_target_class_are_left_out_of_the_rate():
    result = evaluate(encoder(), images(60), images(30), trigger=stamp, target=BLUE, trainer=CPU)
    assert (result.n_train, result.n_test, result.n_triggered) == (60, 30, 20)


def test_intervals_are_those_of_the_counts():
    result = evaluate(encoder(), images(60), images(30), trigger=stamp, target=BLUE, trainer=CPU)
    assert result.accuracy_ci95 == wilson_interval(30, 30)
    assert result.attack_success_rate_ci95 == wilson_interval(20, 20)


def test_without_a_trigger_the_fields_of_the_attack_are_none():
    result = evaluate(encoder(), images(60), images(30), probe="knn", trainer=CPU)
    attack = ("attack_success_rate", "attack_success_rate_ci95", "attack_success_rate_all")
    assert all(getattr(result, field) is None for field in (*attack, "n_triggered"))


def test_a_result_survives_json():
    result = evaluate(
        encoder(), images(60), images(30), trigger=stamp, target=BLUE, probe="knn", trainer=CPU
    )
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False)) == result.as_dict()


def test_the_same_seed_gives_the_same_result():
    def once() -> dict[str, object]:
        result = evaluate(encoder(), images(24), images(30, seed=1), seed=3, trainer=CPU)
        return replace(result, seconds=0.0).as_dict()

    assert once() == once()


def test_the_encoder_is_bit_identical_afterwards():
    subject = encoder().train()
    before = {name: value.clone() for name, value in subject.state_dict().items()}
    evaluate(subject, images(24), images(30), trigger=stamp, target=BLUE, probe="knn", trainer=CPU)
    assert all(torch.equal(value, before[name]) for name, value in subject.state_dict().items())
    assert subject.training


def test_each_set_is_read_once():
    subject = encoder()
    evaluate(subject, images(24), images(30), trigger=stamp, target=BLUE, trainer=CPU)
    assert subject.backbone.sizes == [24, 30, 30]


def test_a_head_of_random_labels_is_near_chance():
    data = images(600)
    generator = torch.Generator().manual_seed(0)
    train = replace(data, labels=torch.randint(0, 3, (600,), generator=generator))
    test = replace(data, labels=torch.randint(0, 3, (600,), generator=generator))
    low, high = evaluate(encoder(), train, test, probe="knn", trainer=CPU).accuracy_ci95
    assert low - 0.03 < 1 / 3 < high + 0.03


def test_classes_are_matched_by_name():
    train = replace(images(60), class_names=("red", "green", "blue"))
    test = images(30, seed=1)
    labels = 2 - test.labels
    test = replace(test, labels=labels, class_names=("blue", "green", "red"))
    assert evaluate(encoder(), train, test, probe="knn", trainer=CPU).accuracy == 1


def test_a_class_without_a_test_folder_shifts_nothing():
    train = replace(images(60), class_names=("red", "green", "blue"))
    test = images(30, seed=1)
    test = test.subset((test.labels > 0).nonzero().flatten())
    test = replace(test, labels=test.labels - 1, class_names=("green", "blue"))
    assert evaluate(encoder(), train, test, probe="knn", trainer=CPU).accuracy == 1


def test_classes_that_training_never_saw_are_reported_and_count_as_errors():
    train = images(60).subset([i for i in range(60) if i % 3])
    with pytest.warns(UserWarning, match=r"10 of 30 test images are of classes .*\(0\)"):
        result = evaluate(encoder(), train, images(30), probe="knn", trainer=CPU)
    assert result.accuracy == pytest.approx(2 / 3)


def test_an_unknown_probe_is_refused():
    with pytest.raises(InputError, match=f"'svm' is unknown; there are {', '.join(PROBES)}"):
        evaluate(encoder(), images(6), images(6), probe="svm", trainer=CPU)


@pytest.mark.parametrize("role", ["training", "test"])
def test_missing_labels_are_refused(role):
    train, test = images(6), images(6)
    train, test = (train.unlabelled(), test) if role == "training" else (train, test.unlabelled())
    with pytest.raises(InputError, match=f"the {role} images 'images' carry no labels"):
        evaluate(encoder(), train, test, trainer=CPU)


@pytest.mark.parametrize("role", ["training", "test"])
def test_empty_sets_are_refused(role):
    train, test = images(6), images(6)
    train, test = (train.subset([]), test) if role == "training" else (train, test.subset([]))
    with pytest.raises(InputError, match=f"no {role} images"):
        evaluate(encoder(), train, test, trainer=CPU)


def test_a_target_outside_the_labels_is_refused():
    with pytest.raises(InputError, match=r"target class 99 is not among the 3 classes .*0 to 2"):
        evaluate(encoder(), images(6), images(6), trigger=stamp, target=99, trainer=CPU)


def test_a_trigger_without_a_target_is_refused():
    with pytest.raises(InputError, match="a trigger was given without a target"):
        evaluate(encoder(), images(6), images(6), trigger=stamp, trainer=CPU)


def test_a_target_without_a_trigger_is_refused():
    with pytest.raises(InputError, match="a target was given without a trigger"):
        evaluate(encoder(), images(6), images(6), target=0, trainer=CPU)


def test_test_images_of_the_target_class_alone_are_refused():
    test: ImageSet = images(30).subset(list(range(2, 30, 3)))
    with pytest.raises(InputError, match="all 10 test images are of the target class 2"):
        evaluate(encoder(), images(6), test, trigger=stamp, target=BLUE, trainer=CPU)


def test_the_folder_offers_the_function():
    assert public_evaluate is evaluate


def test_a_trigger_that_does_not_fit_is_refused_before_any_work():
    def refuse(_images: Tensor) -> Tensor:
        raise InputError("the trigger is larger than the image")

    def never(*_args: object, **_settings: object) -> None:
        pytest.fail("a head was fitted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROBES, "knn", replace(PROBES["knn"], fit=never))
        with pytest.raises(InputError, match="larger than the image"):
            evaluate(encoder(), images(60), images(30), trigger=refuse, target=BLUE, probe="knn")
