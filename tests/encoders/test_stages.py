import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.stages import channels_first, discover_stages, evaluating, tap
from mimic.errors import InputError

LAYERS = ("layer1", "layer2", "layer3", "layer4")


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) for m in module.modules())


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (40, 56)])
@pytest.mark.parametrize("name", ["resnet10", "resnet18", "resnet34", "resnet50"])
def test_the_stages_of_a_resnet_are_its_layers(name, size):
    assert discover_stages(build_backbone(f"{name}:width=2"), torch.rand(1, 3, *size)) == LAYERS


def test_a_resnet_in_a_wrapper_has_the_same_stages_under_longer_names():
    wrapped = nn.Sequential(nn.Identity(), build_backbone("resnet50:width=2"))
    found = discover_stages(wrapped, torch.rand(1, 3, 32, 32))
    assert found == tuple(f"1.{layer}" for layer in LAYERS)


def test_maps_of_a_single_pixel_are_no_stage():
    net = build_backbone("resnet10:width=2,stem_stride=2")
    assert discover_stages(net, torch.rand(1, 3, 16, 16)) == LAYERS[:3]


def test_the_stages_of_a_token_model_are_its_blocks(networks):
    found = discover_stages(networks.TinyViT(), torch.rand(1, 3, 16, 16))
    assert found == ("blocks.0", "blocks.1", "blocks.2", "blocks.3")


def test_the_blocks_of_torchs_own_transformer_are_found():
    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 8, 4, 4)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)

        def forward(self, images):
            return self.encoder(self.patch(images).flatten(2).transpose(1, 2)).mean(1)

    found = discover_stages(Transformer(), torch.rand(1, 3, 16, 16))
    assert found == tuple(f"encoder.layers.{i}" for i in range(4))


def test_an_isotropic_network_has_four_equally_spaced_stages(networks):
    found = discover_stages(networks.Isotropic(), torch.rand(1, 3, 16, 16))
    assert found == ("blocks.1", "blocks.3", "blocks.5", "blocks.7")


def test_the_stages_of_a_vgg_are_the_last_maps_before_each_pooling(networks):
    found = discover_stages(networks.Vgg(), torch.rand(1, 3, 16, 16))
    assert found == ("features.2", "features.6", "features.10", "features")


def test_a_module_that_runs_at_several_sizes_is_no_stage_of_the_first():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)
            self.relu = nn.ReLU()

        def forward(self, images):
            return self.relu(self.second(self.relu(self.first(images)))).mean((2, 3))

    assert discover_stages(Shared(), torch.rand(1, 3, 16, 16)) == ("first", "relu")


class ChannelsLast(nn.Module):
    """Linear layers on maps (batch, height, width, channels), as windowed transformers have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 4, 4)
        self.first = nn.Linear(6, 6)
        self.merge = nn.AvgPool2d(2)
        self.second = nn.Linear(6, 10)

    def forward(self, images):
        x = self.first(self.stem(images).permute(0, 2, 3, 1))
        x = self.merge(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.second(x).mean(dim=(1, 2))


def test_the_stages_of_a_network_with_channels_last_are_told_by_the_images_proportions():
    assert discover_stages(ChannelsLast(), torch.rand(1, 3, 32, 32)) == ("first", "second")


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((2, 8, 8, 96), (32, 32), (2, 96, 8, 8)),
        ((2, 96, 8, 8), (32, 32), (2, 96, 8, 8)),
        ((2, 8, 8, 8), (32, 32), (2, 8, 8, 8)),
        ((2, 3, 4, 96), (40, 56), (2, 96, 3, 4)),
        ((2, 64, 3, 4), (40, 56), (2, 64, 3, 4)),
        ((2, 17, 96), (32, 32), (2, 17, 96)),
    ],
)
def test_channels_come_first(shape, image, expected):
    assert tuple(channels_first(torch.rand(shape), image).shape) == expected


def test_windows_that_are_laid_into_the_batch_are_no_stage():
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inside = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 1)
            self.second = nn.Conv2d(4, 4, 3, 2, 1)

        def forward(self, images):
            x = self.first(images)
            windows = self.inside(x.unflatten(3, (2, -1)).movedim(3, 1).flatten(0, 1))
            return self.second(x + windows.mean()).mean((2, 3))

    assert discover_stages(Windows(), torch.rand(1, 3, 32, 32)) == ("first", "second")


def test_a_stage_is_named_after_the_outermost_module_although_the_next_one_passes_it_on():
    class Next(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.conv = nn.Identity(), nn.Conv2d(4, 6, 3, 2, 1)

        def forward(self, x):
            return self.conv(self.norm(x))

    blocks = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    net = nn.Sequential(blocks, Next(), nn.Flatten())
    assert discover_stages(net, torch.rand(1, 3, 16, 16)) == ("0", "1")


def test_a_network_without_maps_or_tokens_is_refused():
    with pytest.raises(InputError, match="no stage was found"):
        discover_stages(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), torch.rand(1, 3, 4, 4))


def test_probing_leaves_every_mode_as_it_was(backbone):
    backbone.train()
    backbone.layer2.eval()
    before = [m.training for m in backbone.modules()]
    discover_stages(backbone, torch.rand(1, 3, 16, 16))
    assert [m.training for m in backbone.modules()] == before


def test_probing_leaves_every_buffer_as_it_was(backbone):
    before = {name: buffer.clone() for name, buffer in backbone.train().named_buffers()}
    discover_stages(backbone, torch.rand(1, 3, 16, 16))
    assert all(torch.equal(buffer, before[name]) for name, buffer in backbone.named_buffers())


def test_probing_that_fails_leaves_no_hook(backbone):
    with pytest.raises(RuntimeError):
        discover_stages(backbone, torch.rand(1, 5, 16, 16))
    assert hooks(backbone) == 0


def test_evaluating_restores_the_modes_after_an_error(backbone):
    backbone.train()
    with pytest.raises(KeyError), evaluating(backbone):
        raise KeyError
    assert backbone.training


def test_a_tap_gives_the_output_of_the_named_module(backbone):
    image = torch.rand(1, 3, 16, 16)
    with tap(backbone, ["bn1"]) as maps:
        backbone(image)
    assert torch.equal(maps["bn1"], backbone.bn1(backbone.conv1(image)))


def test_a_tap_takes_the_first_tensor_of_a_tuple():
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    tokens = torch.rand(1, 3, 4)
    with tap(nn.ModuleDict({"a": attention}), ["a"]) as maps:
        expected = attention(tokens, tokens, tokens)[0]
    assert torch.equal(maps["a"], expected)


def test_a_tap_leaves_no_hook(backbone):
    with tap(backbone, LAYERS):
        backbone(torch.rand(1, 3, 16, 16))
    assert hooks(backbone) == 0


def test_a_tap_leaves_no_hook_after_an_error(backbone):
    with pytest.raises(RuntimeError), tap(backbone, LAYERS):
        backbone(torch.rand(1, 5, 16, 16))
    assert hooks(backbone) == 0


@pytest.mark.parametrize("name", ["layer9", ""])
def test_a_stage_that_does_not_exist_is_refused(backbone, name):
    expected = "is not in this encoder; its top-level modules are conv1"
    with pytest.raises(InputError, match=expected), tap(backbone, ["layer1", name]):
        pass
