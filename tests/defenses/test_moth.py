from collections import Counter

import pytest
import torch
from torch import nn

from mimic.defenses.holdout import similarity
from mimic.defenses.moth import HardenObjective, Moth, cluster_pairs
from mimic.detection.clusters import cluster
from mimic.detection.inversion import InvertedTriggers
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.losses import clone_loss

from .door import pictures, suspect
from .support import Watch, identical, images, resnet, state


@pytest.mark.parametrize("count", [3, 4, 10])
def test_each_cluster_is_left_twice_and_entered_twice(count):
    sources, targets = cluster_pairs(count, seed=0)
    every = dict.fromkeys(range(count), 2)
    assert Counter(sources) == every
    assert Counter(targets) == every


@pytest.mark.parametrize("count", [2, 3, 10])
def test_pairs_are_different_and_of_different_clusters(count):
    pairs = list(zip(*cluster_pairs(count, seed=0), strict=True))
    assert len(set(pairs)) == len(pairs) <= 2 * count
    assert all(source != target for source, target in pairs)


def test_pairs_are_ordered_by_the_cluster_that_they_leave():
    sources, _ = cluster_pairs(5, seed=1)
    assert sources == sorted(sources)


def test_the_seed_decides_the_pairs():
    assert cluster_pairs(10, seed=0) == cluster_pairs(10, seed=0) != cluster_pairs(10, seed=1)


def objective(*, size: float = 1.0, stamped_share: float = 0.5) -> HardenObjective:
    """Two clusters with two triggers each; trigger i paints the first pixel in the tone i / 4.

    The first pixel is covered wholly, and all others by `size` - 1.
    """
    masks = torch.full((4, 1, 8, 8), size - 1)
    masks[:, :, 0, 0] = 1
    tones = torch.arange(4)[:, None, None, None] / 4
    built = HardenObjective(
        resnet().requires_grad_(True),
        resnet(),
        (8, 8),
        triggers=InvertedTriggers(
            masks=masks,
            patterns=tones.expand(4, 3, 8, 8),
            similarity=torch.ones(4),
            success=torch.ones(4, dtype=torch.bool),
        ),
        per_cluster=2,
        stamped_share=stamped_share,
        min_scale=0.2,
    )
    built.augment = nn.Identity()
    return built.eval()


def seen_by(encoder: Encoder, built: HardenObjective, labels: torch.Tensor) -> torch.Tensor:
    """What a network is shown in one step."""
    shown = []
    handle = encoder.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    built((images(len(labels)).tensor(), labels))
    handle.remove()
    (only,) = shown
    return only


def test_a_share_of_the_views_carries_a_trigger_and_the_rest_does_not():
    built = objective(stamped_share=0.25)
    changed = seen_by(built.learner, built, torch.zeros(32).long()) != images().tensor() / 255
    assert changed.flatten(1).any(dim=1).tolist() == [True] * 8 + [False] * 24


def test_the_triggers_are_those_that_lead_out_of_the_images_cluster():
    built = objective(stamped_share=0.99)
    labels = torch.arange(32) % 2
    tones = 4 * seen_by(built.learner, built, labels)[:31, 0, 0, 0]
    assert set(tones[labels[:31] == 0].tolist()) == {0, 1}
    assert set(tones[labels[:31] == 1].tolist()) == {2, 3}


def test_a_trigger_that_hides_the_image_is_not_used():
    built = objective(size=1.3)
    shown = seen_by(built.learner, built, torch.zeros(32).long())
    assert torch.equal(shown, images().tensor() / 255)


def test_the_teacher_sees_no_trigger():
    built = objective()
    shown = seen_by(built.teacher, built, torch.zeros(32).long())
    assert torch.equal(shown, images().tensor() / 255)


def test_the_terms_are_those_of_the_formula():
    built, labels = objective(), torch.arange(32) % 2
    torch.manual_seed(0)
    shown = seen_by(built.learner, built, labels)
    wanted, found = built.teacher(images().tensor()), built.learner(shown)
    torch.manual_seed(0)
    terms = built((images().tensor(), labels))
    torch.testing.assert_close(terms["trigger"], clone_loss(found[:16], wanted[:16]))
    torch.testing.assert_close(terms["clean"], clone_loss(found[16:], wanted[16:]))


def test_the_ways_between_clusters_are_longer_afterwards_and_clean_images_stay():
    defense = Moth(epochs=30, learning_rate=0.025, clusters=3, batch_size=32)
    purified = defense(suspect(), pictures(), trainer=Watch()).encoder
    clusters = cluster(extract_features(suspect(), pictures(), trainer=Watch()), 3)
    before, after = (
        defense.invert(encoder, pictures(), clusters, Watch()).norms
        for encoder in (suspect(), purified)
    )
    assert before.min() < 10
    assert after.min() > 40
    assert after.mean() > before.mean()
    assert similarity(suspect(), purified, pictures(), Watch()) >= 0.9


def hardened(**settings):
    watch = Watch()
    defense = Moth(**{"clusters": 3, "inversion_steps": 2, "batch_size": 16} | settings)
    return defense(suspect(), images(), trainer=watch), watch


def test_triggers_are_inverted_anew_in_each_round():
    _, watch = hardened(epochs=3)
    assert [training.name for training in watch.seen] == [
        "moth-1-inversion",
        "moth-1",
        "moth-2-inversion",
        "moth-2",
    ]


def test_the_later_rounds_invert_the_hardened_encoder():
    _, watch = hardened(epochs=2, learning_rate=0.02)
    first, second = (training.before for training in watch.seen[::2])
    key = "encoder.backbone.direction"
    assert not torch.equal(first[key], second[key])


def test_epochs_and_steps_are_counted_through_the_rounds():
    result, _ = hardened(epochs=3)
    history = result.history
    assert history.steps == 6
    assert [record["epoch"] for record in history.epochs] == [1, 2, 3]
    assert [record["step"] for record in history.epochs] == [2, 4, 6]


def test_a_round_without_epochs_is_left_out():
    _, watch = hardened(epochs=1, rounds=4)
    assert len(watch.seen) == 2


def test_no_epochs_give_the_suspect_back():
    result, watch = hardened(epochs=0)
    assert identical(state(result.encoder), state(suspect()))
    assert watch.seen == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rounds": 0}, "1 round, 2 clusters"),
        ({"clusters": 1}, "1 round, 2 clusters"),
        ({"batch_size": 1}, "1 round, 2 clusters"),
        ({"stamped_share": 0.0}, "share of views"),
        ({"stamped_share": 1.0}, "share of views"),
        ({"epochs": -1}, "epochs must be 0 or more"),
        ({"clusters": 33}, "cannot make 33 clusters"),
        ({"inversion_steps": 0}, "1 step or more"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        hardened(**settings)
