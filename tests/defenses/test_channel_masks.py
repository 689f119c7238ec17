import pytest
import torch

from mimic.defenses.channel_masks import (
    THRESHOLDS,
    ChannelMasks,
    masked_forward,
    prune_masked,
)
from mimic.encoders.architectures import build_backbone
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError

from .support import OwnNetwork, Watch, identical, images, resnet, state


def own() -> Encoder:
    """Two blocks whose statistics and weights are not those of a fresh network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        encoder = Encoder(OwnNetwork())
        encoder(images().tensor())
        for norm in batch_norms(encoder).values():
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    return encoder.eval()


def noises(encoder: Encoder, low: float, high: float) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.rand(2, len(norm.weight), generator=generator) * (high - low) + low
        for name, norm in batch_norms(encoder).items()
    }


def test_masks_of_one_without_noise_change_no_bit():
    encoder = resnet().eval()
    masks = ChannelMasks(encoder).by_name()
    silence = noises(encoder, 0.0, 0.0)
    pixels = images().tensor()
    assert torch.equal(masked_forward(encoder, pixels, masks, silence), encoder(pixels))
    assert torch.equal(masked_forward(encoder, pixels, masks), encoder(pixels))


def test_masks_and_noise_scale_weights_and_biases():
    encoder, pixels = own(), images().tensor()
    masks = {name: noise[0] for name, noise in noises(encoder, 0.0, 1.0).items()}
    noise = noises(encoder, -0.4, 0.4)
    by_hand = encoder.copy()
    with torch.no_grad():
        for name, norm in batch_norms(by_hand).items():
            norm.weight.mul_(masks[name] + noise[name][0])
            norm.bias.mul_(1 + noise[name][1])
    assert torch.equal(masked_forward(encoder, pixels, masks, noise), by_hand(pixels))


def test_a_mask_leaves_the_bias_alone():
    encoder, pixels = own(), images().tensor()
    masks = {name: torch.zeros_like(norm.weight) for name, norm in batch_norms(encoder).items()}
    features = masked_forward(encoder, pixels, masks)
    bias = batch_norms(encoder)["second.1"].bias
    torch.testing.assert_close(features, bias.relu().expand_as(features))


def test_a_masked_pass_leaves_the_encoder_as_it_is():
    encoder = own()
    before = state(encoder)
    masked_forward(encoder, images().tensor(), ChannelMasks(encoder).by_name())
    assert identical(state(encoder), before)


def test_gradients_flow_to_the_masks_of_every_normalisation():
    encoder = own()
    masks = ChannelMasks(encoder)
    masked_forward(encoder, images().tensor(), masks.by_name()).square().sum().backward()
    assert all(value.grad.abs().max() > 0 for value in masks.values)


def test_clipping_brings_masks_into_the_unit_range():
    masks = ChannelMasks(own())
    with torch.no_grad():
        masks.values[0].copy_(torch.tensor([-0.5, 0.25, 1.5, 1.0]))
    masks.clip()
    assert masks.values[0].tolist() == [0.0, 0.25, 1.0, 1.0]


def test_channels_at_or_below_the_threshold_are_taken():
    masks = ChannelMasks(own())
    with torch.no_grad():
        masks.values[0].copy_(torch.tensor([0.0, 0.5, 0.75, 1.0]))
    assert masks.below(0.5)["first.1"].tolist() == [True, True, False, False]
    assert not masks.below(0.5)["second.1"].any()


def test_a_threshold_below_zero_takes_no_channel():
    masks = ChannelMasks(own())
    with torch.no_grad():
        masks.values[0].zero_()
    assert not any(off.any() for off in masks.below(-0.01).values())


def test_thresholds_go_from_0_to_nine_tenths_in_steps_of_a_twentieth():
    assert THRESHOLDS[0] == 0
    assert THRESHOLDS[-1] == 0.9
    assert len(THRESHOLDS) == 19


def small_and_middling(encoder: Encoder) -> ChannelMasks:
    """Masks of 0.1 for one channel and of 0.6 for another, in the last block."""
    masks = ChannelMasks(encoder)
    with torch.no_grad():
        masks.values[1].copy_(torch.tensor([1.0, 0.1, 1.0, 1.0, 0.6, 1.0]))
    return masks


@pytest.mark.parametrize(
    ("tolerance", "dead"),
    [(2.0, [False, True, False, False, True, False]), (0.0, [False] * 6)],
    ids=["wide", "none"],
)
def test_the_budget_decides_how_much_is_pruned(tolerance, dead):
    suspect = own()
    purified = prune_masked(
        suspect, small_and_middling(suspect), images(), tolerance=tolerance, trainer=Watch()
    )
    assert (batch_norms(purified)["second.1"].weight == 0).tolist() == dead


def test_pruning_leaves_the_suspect_as_it_is():
    suspect = own()
    before = state(suspect)
    prune_masked(suspect, small_and_middling(suspect), images(), tolerance=2, trainer=Watch())
    assert identical(state(suspect), before)


def test_a_network_without_batch_normalisation_is_refused():
    backbone = build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4")
    with pytest.raises(InputError, match="batch normalisation"):
        ChannelMasks(Encoder(backbone, image_size=8))
