"""A projection behind a backbone: its spelling, its file, and what is refused."""

import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.blueprint import find_blueprint
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.encoders.projected import (
    LONGEST,
    Projected,
    build_projected,
    projected_spelling,
    split_projection,
)
from mimic.errors import InputError

ARCH = "resnet10:width=4+linear32x7"
IMAGES = torch.rand(2, 3, 16, 16)


@pytest.fixture
def encoder() -> Encoder:
    blueprint = find_blueprint(ARCH)
    return Encoder(blueprint.build(), architecture=ARCH, rebuild=blueprint.build).eval()


def test_the_feature_is_a_linear_function_of_the_backbones(encoder):
    inner, projection = encoder.backbone.backbone, encoder.backbone.projection
    expected = inner(IMAGES) @ projection.weight.T + projection.bias
    torch.testing.assert_close(encoder(IMAGES), expected)


def test_maps_of_one_position_are_projected_too():
    pooled = Projected(nn.AdaptiveAvgPool2d(1), 3, 5)
    assert Encoder(pooled)(IMAGES).shape == (2, 5)


@pytest.mark.parametrize(
    ("spelling", "parts"),
    [
        (ARCH, ("resnet10:width=4", (32, 7))),
        ("timm:resnet10t+linear512x2048", ("timm:resnet10t", (512, 2048))),
        ("resnet10:width=4", ("resnet10:width=4", None)),
        ("resnet10+linear512", ("resnet10+linear512", None)),
        ("resnet10+linear0x5", ("resnet10+linear0x5", None)),
    ],
)
def test_a_spelling_is_taken_apart(spelling, parts):
    assert split_projection(spelling) == parts


def test_spelling_and_taking_apart_are_inverse():
    assert projected_spelling(*_flat(split_projection(ARCH))) == ARCH


def _flat(parts):
    name, (inputs, outputs) = parts
    return name, inputs, outputs


def test_a_file_knows_its_projection(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "a.safetensors")
    loaded = load_encoder(tmp_path / "a.safetensors")
    assert loaded.architecture == ARCH
    assert torch.equal(loaded(IMAGES), encoder(IMAGES))


def test_the_backbone_alone_can_be_had_from_the_file(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "a.safetensors")
    alone = load_encoder(tmp_path / "a.safetensors", arch="resnet10:width=4")
    torch.testing.assert_close(alone(IMAGES), encoder.backbone.backbone(IMAGES))


def test_fresh_weights_can_be_had_again(encoder):
    fresh = encoder.reinitialized(3)
    assert fresh(IMAGES).shape == (2, 7)
    assert not torch.equal(fresh.backbone.projection.weight, encoder.backbone.projection.weight)


def test_the_memory_layout_is_that_of_the_backbone():
    assert build_projected(lambda: build_backbone("resnet10:width=16"), 128, 7).channels_last
    assert not build_projected(nn.Flatten, 3, 7).channels_last


def test_a_projection_that_does_not_fit_its_backbone_is_refused():
    wrong = Encoder(find_blueprint("resnet10:width=4+linear16x7").build())
    with pytest.raises(InputError, match="takes features of length 16, but the backbone gives 32"):
        wrong(IMAGES)


def test_a_header_cannot_ask_for_any_amount_of_memory():
    with pytest.raises(InputError, match="999999 numbers; 16384 are the most"):
        find_blueprint("resnet10:width=4+linear32x999999")
    assert split_projection(f"resnet10+linear{LONGEST}x1") == ("resnet10", (LONGEST, 1))


def test_an_unknown_architecture_is_refused_with_a_projection_too():
    with pytest.raises(InputError, match="architecture 'resnet11' is unknown"):
        find_blueprint("resnet11+linear32x7").build()
