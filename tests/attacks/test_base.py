from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from mimic.attacks.base import Attack, Attacked
from mimic.attacks.triggers.patch import Patch
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError, RunError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer


@dataclass(frozen=True, kw_only=True, eq=False)
class Careless(Attack):
    """Does `change` to the encoder that it was given."""

    summary: ClassVar[str] = "for tests"
    threat_model: ClassVar = "fine-tuning"
    change: object

    def run(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Attacked:
        self.change(encoder)
        return Attacked(encoder=encoder, triggers=(Patch(),))


@pytest.fixture
def images(digits):
    return ImageSet.from_tensor(digits[:16])


def _attack(encoder, images, change):
    return Careless(change=change)(encoder, images, trainer=Trainer(device="cpu")).encoder


def _double(encoder):
    with torch.no_grad():
        encoder.backbone.conv1.weight.mul_(2)


def test_the_encoder_is_bit_identical_afterwards(encoder, images):
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    _attack(encoder, images, _double)
    assert all(torch.equal(before[name], now) for name, now in encoder.state_dict().items())


def test_the_change_is_in_the_result(encoder, images):
    attacked = _attack(encoder, images, _double)
    assert torch.equal(attacked.backbone.conv1.weight, 2 * encoder.backbone.conv1.weight)


def test_the_result_is_in_eval_mode(encoder, images):
    assert not _attack(encoder, images, lambda e: e.train()).backbone.bn1.training


def test_the_result_requires_gradients_where_the_encoder_did(encoder, images):
    attacked = _attack(encoder, images, lambda e: e.requires_grad_(False))
    assert all(parameter.requires_grad for parameter in attacked.parameters())


def _poison_with_nan(encoder):
    with torch.no_grad():
        encoder.backbone.bn1.running_mean[0] = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_poison_with_nan, r"'bn1\.running_mean' .* not finite"),
        (lambda e: e.backbone.register_buffer("extra", torch.zeros(1)), "extra"),
        (lambda e: e.double(), "dtype"),
        (lambda e: e.backbone.register_forward_hook(print), "hook"),
    ],
    ids=["not finite", "another key", "another dtype", "a hook left"],
)
def test_an_unsound_result_is_refused(encoder, images, change, message):
    with pytest.raises(RunError, match=message):
        _attack(encoder, images, change)


def test_a_hook_that_was_there_before_may_stay(encoder, images):
    hooked = encoder.copy()
    hooked.backbone.register_forward_hook(lambda *_: None)
    _attack(hooked, images, _double)


def test_an_empty_set_of_images_is_refused(encoder, images):
    with pytest.raises(InputError, match="gives 0 images"):
        _attack(encoder, images.subset([]), _double)


def test_images_of_another_size_than_the_encoder_expects_are_refused(encoder, images):
    picky = encoder.copy()
    picky.image_size = 32
    with pytest.raises(InputError, match=r"expects 32x32 images .* 16x16"):
        _attack(picky, images, _double)
