from dataclasses import FrozenInstanceError, dataclass

import pytest
import torch

from mimic.defenses import Defense, Purification
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError, RunError
from mimic.images.imageset import ImageSet
from mimic.training import History, Trainer

from .support import Watch, identical, images, resnet, state


@dataclass(frozen=True, kw_only=True)
class Nothing(Defense):
    """Gives back what it gets, after `spoil` has had its way with it."""

    strength: float = 1.0

    def spoil(self, suspect: Encoder, images: ImageSet) -> None:
        """What a careless defence might do."""

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        self.spoil(suspect, images)
        return Purification(encoder=suspect, history=History())


def spoiling(spoil) -> Defense:
    """A defence that does `spoil(suspect, images)` to its private copies."""
    return type("Spoiling", (Nothing,), {"spoil": lambda _self, *given: spoil(*given)})()


def test_doing_nothing_gives_an_equal_encoder():
    result = Nothing()(resnet(), images(), trainer=Watch())
    assert identical(state(result.encoder), state(resnet()))


def test_the_result_shares_no_memory_with_the_suspect():
    suspect = resnet()
    result = Nothing()(suspect, images(), trainer=Watch())
    own = {p.data_ptr() for p in result.encoder.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in suspect.parameters())


def test_a_careless_defence_cannot_reach_the_suspect():
    suspect = resnet()
    spoiling(lambda given, _: given.backbone.bn1.weight.data.zero_())(
        suspect, images(), trainer=Watch()
    )
    assert identical(state(suspect), state(resnet()))


def test_labels_are_never_seen():
    seen = []
    spoiling(lambda _, given: seen.append((given.labels, given.class_names)))(
        resnet(), images(), trainer=Watch()
    )
    assert seen == [(None, ())]


def test_the_private_copy_is_in_eval_mode():
    seen = []
    spoiling(lambda given, _: seen.extend(m.training for m in given.modules()))(
        resnet(), images(), trainer=Watch()
    )
    assert not any(seen)


def test_frozen_weights_are_frozen_again():
    defense = spoiling(lambda given, _: given.requires_grad_(True))
    result = defense(resnet(), images(), trainer=Watch())
    assert not result.encoder.backbone.conv1.weight.requires_grad


def test_trainable_weights_are_trainable_again():
    defense = spoiling(lambda given, _: given.requires_grad_(False))
    result = defense(resnet(), images(), trainer=Watch())
    assert result.encoder.backbone.layer4[0].conv2.weight.requires_grad


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e, _: e.backbone.bn1.weight.data.fill_(torch.nan), "'bn1.weight' holds values"),
        (lambda e, _: e.backbone.layer1.register_forward_hook(print), "hook was left"),
        (lambda e, _: e.backbone.add_module("bn1", torch.nn.Identity()), "missing or new"),
        (lambda e, _: e.backbone.add_module("head", torch.nn.Linear(2, 2)), "missing or new"),
        (lambda e, _: e.double(), "changed its shape or dtype"),
    ],
)
def test_a_result_that_cannot_stand_in_is_refused(spoil, message):
    with pytest.raises(RunError, match=message):
        spoiling(spoil)(resnet(), images(), trainer=Watch())


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="gives 15 images; at least 16 are needed"):
        Nothing()(resnet(), images(15), trainer=Watch())


def test_images_of_another_size_are_refused():
    suspect = resnet()
    suspect.image_size = 32
    with pytest.raises(InputError, match="open the images at size 32"):
        Nothing()(suspect, images(), trainer=Watch())


def test_settings_are_replaced_one_by_one():
    defense = Nothing(epochs=5, seed=6, strength=2.0)
    assert defense.with_settings(epochs=7) == Nothing(epochs=7, seed=6, strength=2.0)
    assert defense.with_settings(seed=8) == Nothing(epochs=5, seed=8, strength=2.0)
    assert defense.with_settings() == defense


def test_zero_is_a_setting_too():
    assert Nothing(epochs=5, seed=6).with_settings(epochs=0, seed=0) == Nothing(epochs=0, seed=0)


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        Nothing().epochs = 3


def test_epochs_are_refused_where_nothing_is_trained():
    class Still(Nothing):
        trains = False

    assert Still(epochs=0).with_settings(seed=3).seed == 3
    with pytest.raises(InputError, match="trains nothing"):
        Still(epochs=0).with_settings(epochs=5)
