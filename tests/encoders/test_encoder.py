import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
IMAGES = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)


class Pixels(nn.Module):
    """Gives its input back as the feature."""

    def forward(self, images):
        return images.flatten(1)


def test_images_are_normalised_exactly_once():
    features = Encoder(Pixels(), mean=MEAN, std=STD)(IMAGES).double().view(IMAGES.shape)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (MEAN, STD))
    torch.testing.assert_close(features, (IMAGES.double() / 255 - mean) / std, atol=1e-5, rtol=1e-5)


def test_uint8_and_float_images_agree(backbone):
    encoder = Encoder(backbone, mean=MEAN, std=STD)
    assert torch.equal(encoder(IMAGES), encoder(IMAGES.float() / 255))


def test_images_are_not_changed(backbone):
    images = torch.rand(2, 3, 16, 16)
    before = images.clone()
    Encoder(backbone, mean=MEAN, std=STD)(images)
    assert torch.equal(images, before)


def test_whole_numbers_do_as_normalisation():
    assert Encoder(Pixels(), mean=(0, 0, 0), std=(1, 1, 1)).mean.dtype == torch.float32


def test_a_network_that_views_its_maps_works(networks):
    assert Encoder(networks.Vgg().eval())(IMAGES).shape == (2, 32)


def test_a_pooled_map_becomes_a_vector():
    assert Encoder(nn.AdaptiveAvgPool2d(1))(IMAGES).shape == (2, 3)


@pytest.mark.parametrize(
    ("network", "message"),
    [(nn.Identity(), "add its pooling"), (nn.Flatten(2), "one feature vector per image")],
)
def test_an_output_that_is_no_vector_is_refused(network, message):
    with pytest.raises(InputError, match=message):
        Encoder(network)(IMAGES)


@pytest.mark.parametrize(
    "settings",
    [
        {"mean": (0.5,)},
        {"std": (1.0, 0.0, 1.0)},
        {"std": (1.0, float("nan"), 1.0)},
        {"std": (1.0, 1e-60, 1.0)},
        {"mean": (0.0, 1e60, 0.0)},
        {"image_size": 0},
        {"image_size": 4097},
        {"stages": ()},
        {"stages": ("layer9",)},
    ],
)
def test_settings_out_of_range_are_refused(backbone, settings):
    with pytest.raises(InputError):
        Encoder(backbone, **settings)


def test_stages_come_in_the_order_asked_for(backbone):
    _, maps = Encoder(backbone).forward_stages(IMAGES, ["layer3", "layer1"])
    assert [(name, map_.shape[1]) for name, map_ in maps.items()] == [("layer3", 16), ("layer1", 4)]


def test_features_beside_stages_are_those_of_a_plain_pass(backbone):
    encoder = Encoder(backbone)
    assert torch.equal(encoder.forward_stages(IMAGES, ["layer1"])[0], encoder(IMAGES))


def test_a_stage_that_the_network_does_not_use_is_refused():
    network = nn.AdaptiveAvgPool2d(1)
    network.spare = nn.Identity()
    with pytest.raises(InputError, match="'spare' puts out no tensor"):
        Encoder(network).forward_stages(IMAGES, ["spare"])


def test_named_stages_are_kept(backbone):
    assert Encoder(backbone, stages=["layer2"]).stage_names(IMAGES) == ("layer2",)


def test_stages_are_found_where_none_are_named(backbone):
    assert Encoder(backbone).stage_names(IMAGES)[-1] == "layer4"


def test_a_copy_shares_no_tensor(backbone):
    encoder = Encoder(backbone)
    copied = encoder.copy()
    with torch.no_grad():
        copied.backbone.conv1.weight.zero_()
    assert encoder.backbone.conv1.weight.abs().sum() > 0


@pytest.mark.parametrize("rebuild", [None, lambda: build_backbone("resnet10:width=4")])
class TestReinitialized:
    def test_weights_are_unlike_before(self, backbone, rebuild):
        fresh = Encoder(backbone, rebuild=rebuild).reinitialized(0)
        assert not torch.allclose(fresh.backbone.conv1.weight, backbone.conv1.weight)

    def test_statistics_are_fresh(self, backbone, rebuild):
        fresh = Encoder(backbone, rebuild=rebuild).reinitialized(0).backbone
        assert torch.equal(fresh.layer4[0].bn2.running_var, torch.ones(32))

    def test_the_same_seed_gives_the_same_weights(self, backbone, rebuild):
        one, two = (Encoder(backbone, rebuild=rebuild).reinitialized(3) for _ in range(2))
        assert all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))

    def test_another_seed_gives_other_weights(self, backbone, rebuild):
        one, two = (Encoder(backbone, rebuild=rebuild).reinitialized(seed) for seed in (3, 4))
        assert not torch.equal(one.backbone.conv1.weight, two.backbone.conv1.weight)

    def test_the_global_random_state_is_left_alone(self, backbone, rebuild):
        before = torch.get_rng_state()
        Encoder(backbone, rebuild=rebuild).reinitialized(0)
        assert torch.equal(torch.get_rng_state(), before)

    def test_the_source_is_left_alone(self, backbone, rebuild):
        before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        Encoder(backbone, rebuild=rebuild).reinitialized(0)
        assert all(torch.equal(t, before[name]) for name, t in backbone.state_dict().items())

    def test_it_can_be_trained(self, backbone, rebuild):
        fresh = Encoder(backbone.requires_grad_(False), rebuild=rebuild).reinitialized(0)
        assert fresh.training
        assert all(parameter.requires_grad for parameter in fresh.parameters())


def test_the_feature_dimension_is_that_of_the_output(backbone):
    assert Encoder(backbone).feature_dimension((16, 24)) == 32


def test_asking_for_the_dimension_leaves_modes_as_they_were(backbone):
    encoder = Encoder(backbone.train())
    encoder.backbone.layer2.eval()
    before = [m.training for m in encoder.modules()]
    encoder.feature_dimension((16, 16))
    assert [m.training for m in encoder.modules()] == before


def test_maps_with_channels_last_are_handed_out_with_channels_first():
    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.mix = nn.Conv2d(3, 6, 4, 4), nn.Linear(6, 10)

        def forward(self, images):
            return self.mix(self.stem(images).permute(0, 2, 3, 1)).mean(dim=(1, 2))

    features, maps = Encoder(ChannelsLast()).forward_stages(IMAGES, ["mix"])
    assert maps["mix"].shape == (2, 10, 4, 4)
    torch.testing.assert_close(maps["mix"].mean(dim=(2, 3)), features)
