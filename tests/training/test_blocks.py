"""Blocks are what a reader of the network's source would call so."""

import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.errors import InputError
from mimic.libraries import import_library
from mimic.training.blocks import find_blocks


def named(network: nn.Module) -> list[str]:
    found = find_blocks(network)
    return [name for name, module in network.named_modules() if module in found]


def test_the_blocks_of_a_resnet():
    assert named(build_backbone("resnet18:width=4")) == [
        f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)
    ]


def test_the_blocks_of_a_vision_transformer():
    network = build_backbone("vit_tiny:dim=24,depth=3,heads=3,patch=4")
    assert named(network) == [f"blocks.{index}" for index in range(3)]


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("resnet50", 16, "layer1.0"),
        ("vit_b_16", 12, "encoder.layers.encoder_layer_0"),
        ("swin_t", 15, "features.1.0"),
        ("convnext_tiny", 18, "features.1.0"),
        ("efficientnet_b0", 16, "features.1.0"),
        ("densenet121", 4, "features.denseblock1"),
        ("mobilenet_v3_small", 11, "features.1"),
    ],
)
def test_the_blocks_of_known_networks(name, count, first):
    try:
        models = import_library("torchvision.models")
    except InputError as error:
        pytest.skip(str(error))
    with torch.device("meta"):
        network = models.get_model(name)
    found = named(network)
    assert len(found) == count
    assert found[0] == first


def test_no_block_is_within_another():
    inner = nn.Sequential(nn.Sequential(nn.Linear(2, 2)))
    network = nn.Sequential(nn.Sequential(nn.ModuleDict({"a": inner}), nn.ModuleDict({"b": inner})))
    found = find_blocks(network)
    assert len(found) == 2
    assert not any(a is not b and a in list(b.modules()) for a in found for b in found)


def test_a_chain_of_layers_has_no_blocks():
    assert find_blocks(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2))) == []


def test_a_network_that_occurs_twice_counts_once():
    shared = nn.ModuleDict({"a": nn.Linear(2, 2)})
    assert find_blocks(nn.ModuleList([shared, shared])) == [shared]
