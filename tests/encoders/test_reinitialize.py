import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.reinitialize import reinitialize
from mimic.errors import InputError


class Raw(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2))


def test_batch_normalisation_gets_fresh_statistics(backbone):
    fresh = reinitialize(backbone).bn1
    assert torch.equal(fresh.running_mean, torch.zeros(4))
    assert torch.equal(fresh.running_var, torch.ones(4))
    assert fresh.num_batches_tracked == 0


def test_no_convolution_keeps_its_weights(backbone):
    before = {name: p.clone() for name, p in backbone.named_parameters() if "conv" in name}
    reinitialize(backbone)
    after = dict(backbone.named_parameters())
    assert not any(torch.allclose(weight, after[name]) for name, weight in before.items())


def test_a_resnet_is_drawn_from_the_distribution_of_its_constructor():
    built, reset = build_backbone("resnet10"), reinitialize(build_backbone("resnet10"))
    for name in ("conv1.weight", "layer4.0.conv2.weight"):
        spread = reset.get_parameter(name).std() / built.get_parameter(name).std()
        assert spread.item() == pytest.approx(1, rel=0.1)


def test_a_parent_has_the_last_word_over_its_children():
    attention = nn.MultiheadAttention(4, 2)
    nn.init.ones_(attention.out_proj.bias)
    reinitialize(attention)
    assert torch.equal(attention.out_proj.bias, torch.zeros(4))


def test_raw_parameters_are_refused_by_name():
    with pytest.raises(InputError, match=r"'\(root\)' \(Raw\).*factory"):
        reinitialize(Raw())


def test_a_refused_module_is_left_as_it_was():
    module = Raw()
    before = module.linear.weight.clone()
    with pytest.raises(InputError):
        reinitialize(module)
    assert torch.equal(module.linear.weight, before)
