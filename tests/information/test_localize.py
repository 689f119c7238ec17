import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.fitting import Fitting
from mimic.information.localize import localize
from mimic.training import Trainer

SETTINGS = {"fitting": Fitting(steps=20), "trainer": Trainer(device="cpu"), "dimensions": 16}


class Tokens(nn.Module):
    """A network of tokens: patches, then two blocks that mix channels, then their mean."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.blocks = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))

    def forward(self, images):
        return self.blocks(self.patches(images).flatten(2).transpose(1, 2)).mean(dim=1)


class Forgetful(nn.Module):
    """The feature is the mean of `knowing`; the stage `ignorant` is a map of zeros."""

    def __init__(self):
        super().__init__()
        self.ignorant = nn.Conv2d(3, 4, 3)
        self.knowing = nn.Conv2d(3, 4, 3)
        nn.init.zeros_(self.ignorant.weight)
        nn.init.zeros_(self.ignorant.bias)

    def forward(self, images):
        self.ignorant(images)
        return self.knowing(images).mean(dim=(2, 3))


def make_images(count=48, size=(8, 12)):
    generator = torch.Generator().manual_seed(0)
    shade = torch.randint(0, 200, (count, 3, 1, 1), generator=generator)
    noise = torch.randint(0, 50, (count, 3, *size), generator=generator)
    return ImageSet.from_tensor((shade + noise).to(torch.uint8))


def resnet():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Encoder(build_backbone("resnet10:width=4,stem_stride=2"))


@pytest.fixture(scope="module")
def found():
    return localize(resnet(), make_images(), **SETTINGS)


def test_the_weights_sum_to_one(found):
    assert sum(found.weights.values()) == pytest.approx(1)


def test_every_stage_of_the_encoder_is_reported(found):
    expected = resnet().stage_names(make_images().tensor())
    assert tuple(stage.name for stage in found.stages) == expected


def test_what_was_done_is_reported(found):
    assert (found.estimator, found.images) == ("infonce", 48)
    assert found.seconds > 0


def test_the_same_seed_gives_the_same_stages(found):
    assert localize(resnet(), make_images(), **SETTINGS).stages == found.stages


def test_stages_of_tokens_are_localized():
    encoder = Encoder(Tokens(), stages=("blocks.0", "blocks.1"))
    found = localize(encoder, make_images(), **SETTINGS)
    assert list(found.weights) == ["blocks.0", "blocks.1"]


def test_a_stage_that_knows_nothing_gets_next_to_no_weight():
    encoder = Encoder(Forgetful(), stages=("ignorant", "knowing"))
    settings = SETTINGS | {"fitting": Fitting(steps=150)}
    found = localize(encoder, make_images(120), **settings)
    assert found.weights["knowing"] > 0.9


def test_more_images_than_wanted_are_sampled():
    assert localize(resnet(), make_images(), max_images=24, **SETTINGS).images == 24


def test_stages_can_be_chosen():
    found = localize(resnet(), make_images(), stages=["layer2"], **SETTINGS)
    assert found.weights == {"layer2": 1.0}


def test_modes_and_weights_of_the_encoder_stay_as_they_are():
    encoder = resnet().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    localize(encoder, make_images(), **SETTINGS)
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": ["layer9"]}, "layer9"),
        ({"estimator": "ksg"}, "'ksg' is unknown"),
        ({"dimensions": 0}, "1 dimension or more"),
        ({"max_images": 8}, "12 samples, not 8"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        localize(resnet(), make_images(), **(SETTINGS | settings))
