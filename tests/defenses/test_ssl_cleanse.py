from functools import cache

import pytest
import torch
from torch import nn

from mimic.defenses.holdout import similarity
from mimic.defenses.ssl_cleanse import CleanseObjective, SslCleanse
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import Stamp, extract_features
from mimic.losses import clone_loss

from .door import pictures, suspect
from .support import Watch, identical, images, state


def moved(encoder: Encoder, trigger) -> float:
    """How far a trigger moves features: one minus the mean cosine of with and without."""
    plain = extract_features(encoder, pictures(), trainer=Watch())
    stamped = extract_features(encoder, pictures(), trigger=trigger, trainer=Watch())
    return clone_loss(stamped, plain).item()


def objective(target: str, *, covered: float = 0.5) -> CleanseObjective:
    """Equal student and teacher that see images without augmentation; a trigger in a corner."""
    mask = torch.zeros(1, 8, 8)
    mask[:, :2, :2] = covered
    built = CleanseObjective(
        suspect(),
        suspect(),
        (8, 8),
        mask=mask,
        pattern=torch.full((3, 8, 8), 0.25),
        target=target,
        min_scale=0.2,
    )
    built.augment = nn.Identity()
    return built


def with_corner(batch: torch.Tensor) -> torch.Tensor:
    stamped = batch.clone()
    stamped[:, :, :2, :2] = 0.5 * stamped[:, :, :2, :2] + 0.125
    return stamped


def test_with_the_trigger_an_image_stays_the_same():
    batch = images().tensor() / 255
    terms = objective("same")(images().tensor())
    assert terms["clean"].item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(
        terms["trigger"], clone_loss(suspect()(with_corner(batch)), suspect()(batch))
    )


def test_with_the_trigger_an_image_becomes_another_one():
    batch = images(2).tensor() / 255
    terms = objective("other")(images(2).tensor())
    torch.testing.assert_close(
        terms["trigger"], clone_loss(suspect()(with_corner(batch)), suspect()(batch.flip(0)))
    )


def test_the_other_image_is_never_the_image_itself():
    built = objective("other", covered=0.0)
    for seed in range(20):
        torch.manual_seed(seed)
        assert built(images(3).tensor())["trigger"].item() > 1e-3


THOROUGH = SslCleanse(
    epochs=30, batch_size=32, learning_rate=0.05, target="same", inversion_steps=200
)


@cache
def purified() -> Encoder:
    return THOROUGH(suspect(), pictures(), trainer=Watch()).encoder


@cache
def inverted() -> Stamp:
    """The trigger that was unlearned."""
    found = THOROUGH.invert(suspect(), pictures(), Watch())
    return found.stamp(found.smallest())


def shifted(trigger: Stamp) -> Stamp:
    return lambda batch: trigger(batch.roll((-1, -1), (2, 3))).roll((1, 1), (2, 3))


def recoloured(trigger: Stamp) -> Stamp:
    return lambda batch: batch.float().lerp(trigger(batch).float(), 0.9).to(torch.uint8)


RELATIVES = {"itself": lambda trigger: trigger, "shifted": shifted, "recoloured": recoloured}


@pytest.mark.parametrize("relative", RELATIVES.values(), ids=RELATIVES)
def test_a_trigger_and_its_relatives_move_features_less_afterwards(relative):
    trigger = relative(inverted())
    before = moved(suspect(), trigger)
    assert before > 0.2
    assert moved(purified(), trigger) < 0.5 * before


def test_clean_images_keep_their_features():
    assert similarity(suspect(), purified(), pictures(), Watch()) >= 0.9


def cleansed(**settings):
    watch = Watch()
    result = SslCleanse(**{"inversion_steps": 2} | settings)(suspect(), images(), trainer=watch)
    return result.encoder, watch


def test_a_trigger_is_inverted_for_each_cluster_and_then_unlearned():
    _, watch = cleansed(epochs=1)
    assert [training.name for training in watch.seen] == ["cleanse-inversion", "cleanse"]


def test_the_target_network_does_not_move():
    _, watch = cleansed(epochs=3)
    assert watch.seen[-1].steps == 3
    assert identical(watch.seen[-1].before, watch.seen[-1].after)


def test_no_epochs_give_the_suspect_back():
    result, _ = cleansed(epochs=0)
    assert identical(state(result), state(suspect()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "nothing"}, "target 'nothing' is unknown"),
        ({"batch_size": 1}, "compares an image with another"),
        ({"most_clusters": 1}, "number of clusters must be 2 or more"),
        ({"inversion_steps": 0}, "1 step or more"),
        ({"epochs": -1, "inversion_steps": 1}, "epochs must be 0 or more"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        SslCleanse(**settings)(suspect(), images(), trainer=Watch())
