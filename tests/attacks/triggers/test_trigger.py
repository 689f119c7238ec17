import pytest
import torch

from mimic.attacks.triggers import TRIGGERS, Generated, parse_trigger
from mimic.errors import InputError

_SPELLINGS = {
    "patch": "patch:5x3@2,4:#10a0ff",
    "npz": "npz:{pattern}",
    "image": "image:{picture}@1,2",
    "grid": "grid:6@1,2:3",
    "blend": "blend:{picture}@0.3",
    "ctrl": "ctrl:50@16",
    "warp": "warp:2@4:1",
    "filter": "filter:sepia",
    "generator": "generator:{generator}",
    "patch, scattered": "patch:5x3@random:#10a0ff",
    "image, scattered": "image:{picture}@random(0.25-0.75)",
    "grid, scattered": "grid:6@random(0.1-0.9,7):3",
}


@pytest.fixture(params=sorted(_SPELLINGS))
def trigger(request, picture, pattern_file, generator_file):
    files = {"picture": picture, "pattern": pattern_file, "generator": generator_file}
    return parse_trigger(_SPELLINGS[request.param].format(**files))


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=generator)


def _assert_equal(trigger, actual, expected):
    """Bit for bit, but a network's convolutions round differently in another batch or layout."""
    rounding = 1e-6 if isinstance(trigger, Generated) and actual.is_floating_point() else 0
    torch.testing.assert_close(actual, expected, rtol=0, atol=rounding)


def test_every_kind_is_tested_here():
    assert {name.partition(",")[0] for name in _SPELLINGS} == set(TRIGGERS)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64])
def test_dtype_is_kept(trigger, images, dtype):
    images = images if dtype == torch.uint8 else (images / 255).to(dtype)
    assert trigger(images).dtype == dtype


def test_shape_is_kept(trigger, images):
    assert trigger(images).shape == images.shape


def test_an_empty_batch_stays_empty(trigger, images):
    assert trigger(images[:0]).shape == (0, 3, 16, 16)


def test_floats_stay_in_the_unit_range(trigger, images):
    triggered = trigger(images / 255)
    assert triggered.min() >= 0
    assert triggered.max() <= 1


def test_the_images_are_left_as_they_were(trigger, images):
    before = images.clone()
    trigger(images)
    assert torch.equal(images, before)


def test_the_images_are_changed(trigger, images):
    assert not torch.equal(trigger(images), images)


@pytest.mark.parametrize("divisor", [None, 255], ids=["uint8", "floats"])
def test_an_image_is_stamped_alike_in_every_batch(trigger, images, divisor):
    images = images if divisor is None else images / divisor
    one_by_one = torch.cat([trigger(image[None]) for image in images])
    _assert_equal(trigger, trigger(images), one_by_one)


def test_uint8_and_floats_agree_up_to_rounding(trigger, images):
    # Half a level of rounding, and a little for float32.
    difference = trigger(images).double() / 255 - trigger(images / 255).double()
    assert difference.abs().max() <= 0.5 / 255 + 1e-6


def test_the_order_of_the_images_makes_no_difference(trigger, images):
    assert torch.equal(trigger(images.flip(0)), trigger(images).flip(0))


def test_a_second_stamping_of_the_same_images_is_like_the_first(trigger, images):
    assert torch.equal(trigger(images), trigger(images))


def test_torchs_own_random_numbers_are_left_alone(trigger, images):
    before = torch.get_rng_state()
    trigger(images)
    assert torch.equal(torch.get_rng_state(), before)


def test_images_that_want_a_gradient_are_stamped_alike(trigger, images):
    images = images / 255
    wanting = images.clone().requires_grad_()
    assert torch.equal(trigger(wanting).detach(), trigger(images))


def test_channels_last_images_are_stamped_alike(trigger, images):
    channels_last = images.contiguous(memory_format=torch.channels_last)
    _assert_equal(trigger, trigger(channels_last), trigger(images))


def test_the_spelling_makes_the_same_trigger(trigger):
    assert parse_trigger(trigger.spelling) == trigger


def test_the_spelling_makes_a_trigger_that_stamps_alike(trigger, images):
    assert torch.equal(parse_trigger(trigger.spelling)(images), trigger(images))


def test_it_has_the_hash_of_its_equal(trigger):
    assert hash(parse_trigger(trigger.spelling)) == hash(trigger)


def test_it_describes_itself_in_words(trigger):
    assert len(trigger.describe()) > 20


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 3, 16, 16, dtype=torch.int64),
        torch.zeros(3, 16, 16),
        torch.zeros(1, 1, 16, 16),
    ],
    ids=["integers", "one image without a batch", "grey"],
)
def test_other_tensors_are_refused(trigger, wrong):
    with pytest.raises(InputError, match="shape"):
        trigger(wrong)
