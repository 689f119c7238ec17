import pytest
import torch

from mimic.attacks.triggers import TRIGGERS, parse_trigger
from mimic.errors import InputError


@pytest.fixture(params=sorted(TRIGGERS))
def trigger(request, picture, pattern_file):
    spellings = {
        "patch": "patch:5x3@2,4:#10a0ff",
        "npz": f"npz:{pattern_file}",
        "image": f"image:{picture}@1,2",
        "blend": f"blend:{picture}@0.3",
    }
    return parse_trigger(spellings[request.param])


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=generator)


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


def test_every_image_of_a_batch_is_stamped_alike(trigger, images):
    one_by_one = torch.cat([trigger(image[None]) for image in images])
    assert torch.equal(trigger(images), one_by_one)


def test_uint8_and_floats_agree_up_to_rounding(trigger, images):
    # Half a level of rounding, and a little for float32.
    difference = trigger(images).double() / 255 - trigger(images / 255).double()
    assert difference.abs().max() <= 0.5 / 255 + 1e-6


def test_channels_last_images_are_stamped_alike(trigger, images):
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(trigger(channels_last), trigger(images))


def test_the_spelling_makes_the_same_trigger(trigger):
    assert parse_trigger(trigger.spelling) == trigger


def test_the_spelling_makes_a_trigger_that_stamps_alike(trigger, images):
    assert torch.equal(parse_trigger(trigger.spelling)(images), trigger(images))


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
