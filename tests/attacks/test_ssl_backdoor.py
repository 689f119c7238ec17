import pytest
import torch

from mimic.attacks.ssl_backdoor import SslBackdoor
from mimic.attacks.triggers import Patch, Scattered, parse_trigger
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining import SimClr
from mimic.training import Trainer

TRIGGER = Patch(height=3, width=4, row=0, column=0)


@pytest.fixture
def images(digits) -> ImageSet:
    return ImageSet.from_tensor(digits[:200], torch.arange(200) % 4, name="toys")


def places(images, poisoned) -> list[tuple[int, int]]:
    """Row and column of the white rectangle on each poisoned image; digits are never white."""
    pixels = poisoned.images.batch(poisoned.positions)
    white = (pixels == 255).all(dim=1)
    assert white.flatten(1).sum(1).eq(12).all()
    return [tuple(found.nonzero()[0].tolist()) for found in white]


@pytest.mark.parametrize(("rate", "count"), [(0.5, 25), (0.31, 15), (1.0, 50)])
def test_the_count_is_that_share_of_the_target_class_rounded_down(images, rate, count):
    poisoned = SslBackdoor(target=2, trigger=TRIGGER, rate=rate).poison(images)
    assert len(poisoned.positions) == count


def test_only_images_of_the_target_class_are_patched(images):
    poisoned = SslBackdoor(target=2, trigger=TRIGGER).poison(images)
    changed = (poisoned.images.tensor() != images.tensor()).flatten(1).any(1).nonzero().flatten()
    assert torch.equal(changed, poisoned.positions)
    assert (images.labels[changed] == 2).all()


def test_no_image_is_added(images):
    assert len(SslBackdoor(target=2, trigger=TRIGGER).poison(images).images) == len(images)


def test_the_patch_is_opaque_and_all_else_as_before(images):
    poisoned = SslBackdoor(target=2, trigger=TRIGGER, rate=1.0).poison(images)
    expected = images.batch(poisoned.positions).clone()
    for picture, (row, column) in zip(expected, places(images, poisoned), strict=True):
        picture[:, row : row + 3, column : column + 4] = 255
    assert torch.equal(poisoned.images.batch(poisoned.positions), expected)


def test_the_patch_lies_in_the_central_half_and_takes_every_place_there(images):
    everything = ImageSet.from_tensor(images.tensor(), torch.zeros(200))
    poisoned = SslBackdoor(target=0, trigger=TRIGGER, rate=1.0).poison(everything)
    rows, columns = (set(values) for values in zip(*places(everything, poisoned), strict=True))
    assert rows == set(range(4, 10))
    assert columns == set(range(4, 9))


def test_where_the_trigger_is_in_tests_makes_no_difference(images):
    moved = Scattered(rectangle=TRIGGER, low=0.1, high=0.9, seed=5)
    attacks = (SslBackdoor(target=2, trigger=trigger) for trigger in (TRIGGER, moved))
    first, second = (attack.poison(images).images.tensor() for attack in attacks)
    assert torch.equal(first, second)


def test_the_seed_decides_which_images_and_where(images):
    attacks = [SslBackdoor(target=2, trigger=TRIGGER, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (attack.poison(images) for attack in attacks)
    assert torch.equal(first.images.tensor(), again.images.tensor())
    assert not torch.equal(first.positions, other.positions)


def test_the_given_images_stay_as_they_were(images):
    before = images.tensor().clone()
    SslBackdoor(target=2, trigger=TRIGGER).poison(images).images.tensor()
    assert torch.equal(images.tensor(), before)


@pytest.mark.parametrize("rate", [0, -0.1, 1.5, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(InputError, match="rate of SSL-Backdoor"):
        SslBackdoor(target=2, trigger=TRIGGER, rate=rate)


def test_a_rate_that_patches_nothing_is_refused_with_its_numbers(images):
    with pytest.raises(InputError, match=r"0\.01 of 50 images of class 2 comes to 0"):
        SslBackdoor(target=2, trigger=TRIGGER, rate=0.01).poison(images)


def test_a_trigger_that_is_no_rectangle_is_refused(picture):
    with pytest.raises(InputError, match="SSL-Backdoor pastes a rectangle"):
        SslBackdoor(target=2, trigger=parse_trigger(f"blend:{picture}@0.2"))


def test_the_encoder_is_trained_on_the_patched_images(images, encoder):
    few = images.subset(range(40))
    trainer = Trainer(device="cpu", precision="32-true")
    pretraining = SimClr(epochs=1, batch_size=20)
    attack = SslBackdoor(target=2, trigger=TRIGGER, pretraining=pretraining)
    attacked = attack(encoder, few, trainer=trainer)
    expected = pretraining(encoder, attack.poison(few).images, trainer=trainer).state_dict()
    name = "backbone.conv1.weight"
    assert torch.equal(attacked.encoder.state_dict()[name], expected[name])
