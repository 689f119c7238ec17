from functools import partial

import pytest
import torch
from torch import nn

from mimic.defenses.mimic import Mimic
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.encoders.vit import Block, VisionTransformer, grid_positions
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.fitting import Fitting
from mimic.information.localize import localize
from mimic.losses import stage_loss
from mimic.pretraining import METHODS
from mimic.training import Trainer

from ..searches import shorten_searches

ARCH = "vit_tiny:dim=24,depth=4,heads=3,patch=4"
STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.3")
CPU = Trainer(device="cpu", precision="32-true")


@pytest.fixture
def encoder() -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Encoder(build_backbone(ARCH)).eval()


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """32 images of noise."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return ImageSet.from_tensor(pixels)


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (24, 40)])
def test_images_of_any_size_become_features(size):
    assert build_backbone(ARCH)(torch.rand(2, 3, *size)).shape == (2, 24)


def test_a_block_computes_what_torchs_own_layer_computes():
    ours = Block(24, 3).double()
    theirs = nn.TransformerEncoderLayer(
        24, 3, 96, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    own = ours.state_dict()
    names = {
        "self_attn.in_proj_": "attn.qkv.",
        "self_attn.out_proj.": "attn.proj.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    kinds = ("weight", "bias")
    theirs.load_state_dict(
        {there + kind: own[here + kind] for there, here in names.items() for kind in kinds}
    )
    tokens = torch.randn(2, 5, 24, dtype=torch.float64)
    torch.testing.assert_close(ours(tokens), theirs(tokens))


def test_in_bfloat16_a_cpu_attends_as_in_float32():
    block, tokens = Block(24, 3), torch.rand(2, 5, 24, requires_grad=True)
    exact = block(tokens)
    (exact_gradient,) = torch.autograd.grad(exact.sum(), tokens)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = block(tokens)
    (gradient,) = torch.autograd.grad(rounded.sum(), tokens)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)
    torch.testing.assert_close(gradient, exact_gradient, rtol=0.02, atol=0.02)


def test_the_likeness_of_two_positions_depends_on_their_distance_alone():
    height, width, dimension = 3, 5, 8
    codes = grid_positions(height, width, dimension).double()
    rates = torch.tensor([1.0, 0.01], dtype=torch.float64)
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    expected = sum(
        ((axis[:, None] - axis)[..., None] * rates).cos().sum(-1) for axis in (rows, columns)
    )
    torch.testing.assert_close(codes @ codes.T, expected, rtol=0, atol=1e-5)


def test_features_depend_on_where_a_patch_is(encoder):
    image = torch.rand(1, 3, 16, 16)
    moved = image.roll(4, dims=3)
    assert not torch.allclose(encoder(image), encoder(moved), atol=1e-3)


def test_the_stages_are_its_blocks(encoder):
    assert encoder.stage_names(torch.rand(1, 3, 16, 16)) == STAGES


def test_a_deep_one_has_four_equally_spaced_stages():
    found = Encoder(build_backbone("vit_tiny:dim=12,depth=12")).stage_names(torch.rand(1, 3, 8, 8))
    assert found == ("blocks.2", "blocks.5", "blocks.8", "blocks.11")


def test_stages_put_out_one_token_per_patch(encoder):
    _, maps = encoder.forward_stages(torch.rand(2, 3, 16, 24), STAGES)
    assert {tuple(tokens.shape) for tokens in maps.values()} == {(2, 24, 24)}


def test_equal_tokens_have_no_stage_loss(encoder):
    _, maps = encoder.forward_stages(torch.rand(2, 3, 16, 16), STAGES)
    covered = torch.ones(2, 1, 16, 16)
    losses = [stage_loss(tokens, tokens, covered).item() for tokens in maps.values()]
    assert losses == pytest.approx([0, 0, 0, 0], abs=1e-6)


def test_a_reinitialised_one_shares_no_weight_but_constants(encoder):
    fresh = dict(encoder.reinitialized(5).named_parameters())
    for name, weight in encoder.named_parameters():
        constant = weight.min() == weight.max()
        assert torch.equal(weight, fresh[name]) == bool(constant), name


def test_a_seed_decides_the_fresh_weights(encoder):
    first, again, other = (encoder.reinitialized(seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(
        first["backbone.blocks.0.mlp.fc1.weight"], other["backbone.blocks.0.mlp.fc1.weight"]
    )


def test_linear_layers_are_drawn_as_glorot_and_bengio_do():
    weight = VisionTransformer(dim=96, depth=1).blocks[0].mlp.fc1.weight
    assert weight.std().item() == pytest.approx((2 / (96 + 384)) ** 0.5, rel=0.02)


def test_a_written_one_comes_back_with_the_same_features(tmp_path, images):
    encoder = load_encoder(build_backbone(ARCH), image_size=16, mean=(0.5,) * 3, std=(0.2,) * 3)
    encoder.architecture = ARCH
    save_encoder(encoder, tmp_path / "vit.safetensors")
    loaded = load_encoder(tmp_path / "vit.safetensors")
    pixels = images.tensor()
    assert loaded.architecture == ARCH
    assert torch.equal(loaded.eval()(pixels), encoder.eval()(pixels))


def test_bare_weights_load_with_the_architecture(tmp_path, encoder, images):
    torch.save({"state_dict": encoder.backbone.state_dict()}, tmp_path / "vit.pth")
    loaded = load_encoder(tmp_path / "vit.pth", arch=ARCH).eval()
    assert torch.equal(loaded(images.tensor()), encoder(images.tensor()))


def test_information_is_measured_at_every_block(encoder, images):
    found = localize(encoder, images, folds=2, fitting=Fitting(steps=2), trainer=CPU)
    assert tuple(found.weights) == STAGES


@pytest.fixture
def _hasty(monkeypatch):
    """A short look for stages and patches."""
    quick = partial(localize, folds=2, fitting=Fitting(steps=2))
    monkeypatch.setattr("mimic.defenses.mimic.localize", quick)
    shorten_searches(monkeypatch, population=16, rounds=1, keep=8, judged_on=4)


@pytest.mark.usefixtures("_hasty")
def test_the_default_defence_purifies_it(encoder, images):
    result = Mimic(epochs=1, batch_size=32)(encoder, images, trainer=CPU)
    assert result.history.steps == 1
    assert {"clone", *STAGES} <= result.history.epochs[0].keys()
    assert result.encoder(images.tensor()).isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_pretrains_it(name, encoder, images):
    method = METHODS[name](epochs=1, batch_size=16)
    assert method(encoder, images, trainer=CPU)(images.tensor()).isfinite().all()


def test_images_that_cannot_be_cut_into_patches_are_refused(encoder):
    with pytest.raises(InputError, match="30x32 cannot be cut into patches of 4x4"):
        encoder(torch.rand(1, 3, 30, 32))


@pytest.mark.parametrize("settings", ["dim=20,heads=3", "dim=6,heads=3"])
def test_a_dimension_that_does_not_divide_is_refused(settings):
    with pytest.raises(InputError, match="dim must be a multiple of 4 and of the number of heads"):
        build_backbone(f"vit_tiny:{settings}")
