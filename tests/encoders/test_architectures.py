import pytest

from mimic.encoders.architectures import ARCHITECTURES, build_backbone
from mimic.errors import InputError


@pytest.mark.parametrize(
    ("spelling", "millions"),
    [("resnet10:width=32,stem_stride=2", 1.23), ("resnet18", 11.17), ("vit_tiny", 5.35)],
)
def test_parameter_counts_are_the_known_ones(spelling, millions):
    count = sum(parameter.numel() for parameter in build_backbone(spelling).parameters())
    assert round(count / 1e6, 2) == millions


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_setting_of_an_architecture_can_be_set(name):
    small = ",".join(f"{setting}=12" for setting in ARCHITECTURES[name].settings)
    assert build_backbone(f"{name}:{small}")


def test_the_settings_of_a_transformer_are_read():
    backbone = build_backbone("vit_tiny:dim=12,depth=2,heads=4,patch=8")
    assert len(backbone.blocks) == 2
    assert backbone.blocks[0].attn.heads == 4
    assert backbone.patch_embed.weight.shape == (12, 3, 8, 8)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="'resnet11' is unknown; there are resnet10"):
        build_backbone("resnet11")


@pytest.mark.parametrize(
    "setting",
    ["depth=3", "width=0", "width=-1", "width", "width=2.5", "width=²", "stem_stride=4097"],
)
def test_a_setting_that_is_not_understood_is_named(setting):
    with pytest.raises(InputError, match="is not understood"):
        build_backbone(f"resnet10:{setting}")


def test_a_number_of_thousands_of_digits_is_not_understood_and_not_repeated():
    with pytest.raises(InputError, match="is not understood") as caught:
        build_backbone(f"resnet10:width={'9' * 5000}")
    assert len(str(caught.value)) < 400


def test_a_setting_of_another_architecture_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="write dim=N, depth=N, heads=N, patch=N"):
        build_backbone("vit_tiny:width=3")
