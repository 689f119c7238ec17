import pytest
import torch

from mimic.attacks.composing import resized
from mimic.attacks.noisy_alignment import NoisyAlignment
from mimic.attacks.triggers import Patch, Scattered, parse_trigger
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining import SimClr
from mimic.training import Trainer

TRIGGER = Patch(height=3, width=4, row=0, column=0)
GREEN = torch.tensor([0, 250, 0], dtype=torch.uint8).view(1, 3, 1, 1)
BLUE = torch.tensor([0, 0, 200], dtype=torch.uint8).view(1, 3, 1, 1)
RED = torch.tensor([250, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
TOP, LEFT = (slice(0, 8), slice(None)), (slice(None), slice(0, 8))
BOTTOM, RIGHT = (slice(8, 16), slice(None)), (slice(None), slice(8, 16))
OPPOSITE = [(TOP, BOTTOM), (BOTTOM, TOP), (LEFT, RIGHT), (RIGHT, LEFT)]


@pytest.fixture
def images() -> ImageSet:
    """Blue ones, and a green one of the target class among four."""
    labels = torch.arange(400) % 4
    pixels = torch.where((labels == 2).view(-1, 1, 1, 1), GREEN, BLUE).repeat(1, 1, 16, 16)
    return ImageSet.from_tensor(pixels, labels, name="toys")


def attack(**settings) -> NoisyAlignment:
    return NoisyAlignment(**({"target": 2, "trigger": TRIGGER} | settings))


def planted(images, **settings) -> torch.Tensor:
    poisoned = attack(**settings).poison(images)
    return poisoned.images.batch(poisoned.positions)


def noisy_half(picture) -> torch.Tensor:
    """The half opposite to the one that is wholly green."""
    (half,) = [
        picture[(slice(None), *other)]
        for reference, other in OPPOSITE
        if torch.equal(
            picture[(slice(None), *reference)],
            GREEN[0].expand_as(picture[(slice(None), *reference)]),
        )
    ]
    return half


@pytest.mark.parametrize(("rate", "count"), [(0.05, 20), (0.0088, 4), (0.0025, 1), (0.75, 300)])
def test_the_count_is_that_share_of_all_images(images, rate, count):
    poisoned = attack(rate=rate).poison(images)
    assert poisoned.positions.tolist() == list(range(400, 400 + count))
    assert len(poisoned.images) == 400 + count


def test_the_clean_images_come_first_and_unchanged(images):
    poisoned = attack().poison(images)
    assert torch.equal(poisoned.images.tensor()[:400], images.tensor())


def test_one_half_is_the_reference_and_the_trigger_is_in_the_other(images):
    for picture in planted(images, rate=0.2):
        touched = (noisy_half(picture) != BLUE[0]).any(dim=0)
        assert touched.sum() == 3 * 4


def test_the_four_layouts_are_equally_frequent(images):
    pixels = planted(images, rate=0.2)
    counts = [
        sum(bool((picture[(slice(None), *where)] == GREEN[0]).all()) for picture in pixels)
        for where in (TOP, BOTTOM, LEFT, RIGHT)
    ]
    assert counts == [20, 20, 20, 20]


def test_the_trigger_lets_a_fifth_of_the_picture_through(images):
    for picture in planted(images):
        half = noisy_half(picture)
        patch = half[:, (half != BLUE[0]).any(dim=0)]
        assert (patch == torch.tensor([[204], [204], [244]])).all()


def test_an_opaque_trigger_is_possible(images):
    white = (planted(images, opacity=1.0) == 255).all(dim=1)
    assert white.flatten(1).sum(dim=1).tolist() == [12] * 20


def test_the_trigger_is_in_the_middle_of_its_half(images):
    for picture in planted(images):
        half = noisy_half(picture)
        rows, columns = (half != BLUE[0]).any(dim=0).nonzero(as_tuple=True)
        expected = [(half.shape[1] - 3) // 2, (half.shape[2] - 4) // 2]
        assert [rows.min().item(), columns.min().item()] == expected


def test_any_other_trigger_is_stamped_before_the_picture_is_squeezed(images, picture):
    blend = parse_trigger(f"blend:{picture}@0.2")
    stamped = blend(BLUE.repeat(1, 1, 16, 16))
    for found in planted(images, trigger=blend):
        half = noisy_half(found)
        assert torch.equal(half, resized(stamped, tuple(half.shape[1:]))[0])


def test_references_can_be_given_in_any_size(images):
    pixels = planted(images, references=RED.repeat(2, 1, 5, 9))
    red = (pixels == RED).all(dim=1).flatten(1).sum(dim=1)
    assert red.tolist() == [16 * 8] * 20


def test_the_noisy_pictures_are_different_ones_of_other_classes(digits):
    labels = torch.arange(40) % 4
    levels = torch.arange(40, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    references = torch.full((1, 3, 16, 16), 99, dtype=torch.uint8)
    images = ImageSet.from_tensor(levels.clone(), labels)
    pixels = planted(images, rate=0.75, references=references)[:, 0]
    used = {value for found in pixels for value in found.unique().tolist() if value < 40}
    assert used == {value for value in range(40) if value % 4 != 2}


def test_the_seed_decides_everything(images):
    images = ImageSet.from_tensor(images.tensor() + torch.arange(16).byte(), images.labels)
    first, again, other = (planted(images, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_where_the_trigger_is_in_tests_makes_no_difference(images):
    moved = Scattered(rectangle=TRIGGER, low=0.1, high=0.9, seed=5)
    assert torch.equal(planted(images), planted(images, trigger=moved))


def test_more_than_there_are_other_images_is_refused_with_both_numbers(images):
    with pytest.raises(InputError, match="is 320 images to make, but only 300 of 'toys'"):
        attack(rate=0.8).poison(images)


def test_a_rate_that_adds_nothing_is_refused_with_its_numbers(images):
    with pytest.raises(InputError, match=r"0\.001 of 400 images comes to 0"):
        attack(rate=0.001).poison(images)


def test_a_trigger_that_does_not_fit_into_half_of_an_image_is_refused(images):
    with pytest.raises(InputError, match=r"of 9x4 pixels does not fit into half"):
        attack(trigger=Patch(height=9, width=4, row=0, column=0)).poison(images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0}, "rate of Noisy Alignment"),
        ({"opacity": 0}, "opacity of Noisy Alignment"),
        ({"opacity": float("nan")}, "opacity of Noisy Alignment"),
        ({"references": torch.zeros(1, 3, 4, 4)}, "references must be uint8"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        attack(**settings)


def test_the_encoder_is_trained_on_the_added_images(digits, encoder):
    images = ImageSet.from_tensor(digits[:40], torch.arange(40) % 4)
    pretraining = SimClr(epochs=1, batch_size=22)
    noisy = attack(rate=0.1, pretraining=pretraining)
    trainer = Trainer(device="cpu", precision="32-true")
    attacked = noisy(encoder, images, trainer=trainer)
    expected = pretraining(encoder, noisy.poison(images).images, trainer=trainer).state_dict()
    name = "backbone.conv1.weight"
    assert torch.equal(attacked.encoder.state_dict()[name], expected[name])
