import math

import pytest
import torch

from mimic.attacks.ctrl import Ctrl
from mimic.attacks.triggers import parse_trigger
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining import SimClr
from mimic.training import Trainer

TRIGGER = parse_trigger("ctrl:20@16")


@pytest.fixture
def images(digits) -> ImageSet:
    return ImageSet.from_tensor(digits[:200], torch.arange(200) % 4, name="toys")


@pytest.mark.parametrize(("rate", "count"), [(0.01, 2), (0.099, 19), (0.25, 50)])
def test_the_count_is_that_share_of_all_images_rounded_down(images, rate, count):
    poisoned = Ctrl(target=2, trigger=TRIGGER, rate=rate).poison(images)
    assert len(poisoned.positions) == count


def test_one_percent_of_fifty_thousand_are_five_hundred():
    one = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    images = ImageSet(
        read=lambda chosen: one.repeat(len(chosen), 1, 1, 1),
        indices=torch.arange(50_000),
        size=(16, 16),
        labels=torch.arange(50_000) % 10,
    )
    assert len(Ctrl(target=0, trigger=TRIGGER).poison(images).positions) == 500


def test_only_images_of_the_target_class_are_stamped(images):
    poisoned = Ctrl(target=2, trigger=TRIGGER, rate=0.1).poison(images)
    changed = (poisoned.images.tensor() != images.tensor()).flatten(1).any(1).nonzero().flatten()
    assert torch.equal(changed, poisoned.positions)
    assert (images.labels[changed] == 2).all()


def test_stamped_images_are_the_triggered_ones(images):
    poisoned = Ctrl(target=2, trigger=TRIGGER, rate=0.1).poison(images)
    expected = TRIGGER(images.batch(poisoned.positions))
    assert torch.equal(poisoned.images.batch(poisoned.positions), expected)


def test_the_change_is_the_same_on_every_image(digits):
    grey = ImageSet.from_tensor(digits[:200] // 4 + 100, torch.zeros(200))
    poisoned = Ctrl(target=0, trigger=TRIGGER, rate=0.5).poison(grey)
    before = grey.batch(poisoned.positions).int()
    change = poisoned.images.batch(poisoned.positions).int() - before
    assert (change == change[:1]).all()


def test_at_the_default_magnitude_the_noise_is_that_of_the_released_code():
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(50, 206, (50, 3, 32, 32), generator=generator).to(torch.uint8)
    images = ImageSet.from_tensor(levels, torch.zeros(50))
    poisoned = Ctrl(target=0, trigger=parse_trigger("ctrl:100"), rate=1.0).poison(images)
    error = (poisoned.images.tensor().double() - levels.double()).square().mean()
    assert 10 * math.log10(255**2 / error.item()) == pytest.approx(32.1, abs=0.3)


def test_the_seed_decides_which_images(images):
    attacks = [Ctrl(target=2, trigger=TRIGGER, rate=0.1, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (attack.poison(images).positions for attack in attacks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_more_than_the_class_holds_is_refused_with_both_numbers(images):
    with pytest.raises(
        InputError, match="is 60 images to poison, but class 2 of 'toys' has only 50"
    ):
        Ctrl(target=2, trigger=TRIGGER, rate=0.3).poison(images)


def test_a_rate_that_stamps_nothing_is_refused_with_its_numbers(images):
    with pytest.raises(InputError, match=r"0\.001 of 200 images comes to 0"):
        Ctrl(target=2, trigger=TRIGGER, rate=0.001).poison(images)


@pytest.mark.parametrize("rate", [0, 1.1, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(InputError, match="rate of CTRL"):
        Ctrl(target=2, trigger=TRIGGER, rate=rate)


def test_the_encoder_is_trained_on_the_stamped_images(images, encoder):
    few = images.subset(range(40))
    trainer = Trainer(device="cpu", precision="32-true")
    pretraining = SimClr(epochs=1, batch_size=20)
    attack = Ctrl(target=2, trigger=TRIGGER, rate=0.2, pretraining=pretraining)
    attacked = attack(encoder, few, trainer=trainer)
    expected = pretraining(encoder, attack.poison(few).images, trainer=trainer).state_dict()
    name = "backbone.conv1.weight"
    assert torch.equal(attacked.encoder.state_dict()[name], expected[name])
