import pytest
import torch

from mimic.encoders.resnet import BasicBlock, Bottleneck, ResNet


@pytest.mark.parametrize("size", [(32, 32), (40, 56)])
@pytest.mark.parametrize(("block", "dimension"), [(BasicBlock, 32), (Bottleneck, 128)])
def test_features_have_the_width_of_the_last_stage(block, dimension, size):
    net = ResNet(block, (1, 1, 1, 1), width=4).eval()
    assert net(torch.rand(2, 3, *size)).shape == (2, dimension)


def test_keys_are_those_of_torchvision():
    keys = set(ResNet(BasicBlock, (1, 2, 1, 1), width=4).state_dict())
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer2.1.conv2.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.num_batches_tracked",
    } <= keys


def test_a_stem_stride_of_two_halves_every_map():
    small, large = (ResNet(BasicBlock, (1,), width=4, stem_stride=s).eval() for s in (2, 1))
    image = torch.rand(1, 3, 16, 16)
    assert small.conv1(image).shape[2] * 2 == large.conv1(image).shape[2]


def test_convolutions_are_drawn_as_he_et_al_do():
    weight = ResNet(BasicBlock, (1,), width=64).layer1[0].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)
