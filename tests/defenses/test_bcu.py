from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.defenses.bcu import (
    Bcu,
    BcuObjective,
    forget,
    stage_rates,
    weights_by_depth,
)
from mimic.defenses.holdout import similarity
from mimic.encoders.architectures import build_backbone
from mimic.encoders.checks import count_hooks
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.losses.clone import clone_loss
from mimic.losses.gram import gram_loss
from mimic.seeds import seed_of

from .support import OwnNetwork, Watch, identical, images, resnet, state


class Attending(nn.Module):
    """Tokens of 4x4 pixels, one attention, and a linear layer after the last stage."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 4, 4)
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(dim=1))


def vit() -> Encoder:
    return Encoder(build_backbone("vit_tiny:dim=8,depth=4,heads=1,patch=4"), image_size=8)


def objective(gram_weight=1.0):
    """A student that sees images without augmentation, and its teacher."""
    built = BcuObjective(resnet().reinitialized(0), resnet(), (8, 8), gram_weight=gram_weight)
    built.augment = nn.Identity()
    built.prepare()
    return built


def pictures(count: int, seed: int) -> ImageSet:
    """Smooth coloured blobs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 3, 3, generator=generator)
    pixels = F.interpolate(coarse, size=(8, 8), mode="bilinear") * 255
    return ImageSet.from_tensor(pixels.to(torch.uint8))


def settled(network: nn.Module) -> Encoder:
    """An encoder with fixed random weights whose normalisations have seen many images."""
    encoder = Encoder(network, mean=(0.5,) * 3, std=(0.2,) * 3).reinitialized(3)
    with torch.no_grad():
        for _ in range(40):
            encoder(pictures(96, seed=9).tensor())
    return encoder.eval()


def test_four_stages_have_the_rates_of_the_source():
    assert stage_rates(4, first=0.01, last=0.27) == pytest.approx((0.01, 0.03, 0.09, 0.27))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_rates_grow_by_the_same_factor_for_any_number_of_stages(count):
    rates = stage_rates(count, first=0.01, last=0.27)
    assert (rates[0], rates[-1]) == pytest.approx((0.01, 0.27))
    factors = {round(b / a, 9) for a, b in pairwise(rates)}
    assert len(factors) == 1


def test_a_single_stage_is_the_last_one():
    assert stage_rates(1, first=0.01, last=0.27) == (0.27,)


def test_rates_of_zero_stay_zero():
    assert stage_rates(4, first=0.0, last=0.0) == (0, 0, 0, 0)


def test_the_layers_of_a_resnet_stand_where_their_stage_stands():
    found = weights_by_depth(resnet(), images(2, (16, 16)).tensor())
    expected = {
        f"{name}.weight": 0 if name == "conv1" else int(name[len("layer")])
        for name, module in resnet().backbone.named_modules()
        if isinstance(module, nn.Conv2d)
    }
    assert found == expected


def test_the_stem_of_a_network_without_a_stem_is_its_first_layer():
    found = weights_by_depth(Encoder(OwnNetwork()), images().tensor())
    assert found == {"first.0.weight": 0, "second.0.weight": 2}


def test_the_blocks_of_a_token_model_are_its_stages():
    found = weights_by_depth(vit(), images().tensor())
    depths = {name.rpartition(".")[0]: depth for name, depth in found.items()}
    assert depths["patch_embed"] == 0
    assert [depths[f"blocks.{i}.attn.qkv"] for i in range(4)] == [1, 2, 3, 4]
    assert [depths[f"blocks.{i}.mlp.fc2"] for i in range(4)] == [1, 2, 3, 4]


def test_weights_that_no_module_of_their_own_reads_are_found_too():
    encoder = Encoder(Attending(), stages=["embed", "attention"])
    assert weights_by_depth(encoder, images().tensor()) == {
        "embed.weight": 0,
        "attention.in_proj_weight": 2,
        "attention.out_proj.weight": 2,
        "head.weight": 2,
    }


def test_looking_changes_nothing():
    encoder, untouched = resnet(), resnet()
    weights_by_depth(encoder, images().tensor())
    assert identical(state(encoder), state(untouched))
    assert count_hooks(encoder) == 0
    assert [m.training for m in encoder.modules()] == [m.training for m in untouched.modules()]


def test_the_share_of_changed_entries_in_the_last_stage_is_its_rate():
    suspect = Encoder(build_backbone("resnet10:width=8"))
    student = Bcu(epochs=0)(suspect, images(size=(16, 16)), trainer=Watch()).encoder
    changed = torch.cat(
        [
            (after != before).flatten()
            for (name, after), before in zip(
                student.backbone.named_parameters(), suspect.backbone.parameters(), strict=True
            )
            if name.startswith("layer4") and after.ndim > 1
        ]
    )
    deviation = (0.27 * 0.73 / len(changed)) ** 0.5
    assert changed.float().mean().item() == pytest.approx(0.27, abs=3 * deviation)


def test_rates_of_zero_give_the_suspect_back():
    defense = Bcu(epochs=0, stem_rate=0, first_rate=0, last_rate=0)
    result = defense(resnet(), images(), trainer=Watch())
    assert identical(state(result.encoder), state(resnet()))


def test_replaced_entries_are_those_of_a_fresh_network_and_all_others_stay():
    encoder, before = resnet(), state(resnet().backbone)
    fresh = state(resnet().reinitialized(seed_of("student", 5)).backbone)
    forget(encoder, {"layer2.0.conv1.weight": 0.5}, seed=5)
    after = state(encoder.backbone)
    name = "layer2.0.conv1.weight"
    changed = after[name] != before[name]
    assert 0 < changed.sum() < changed.numel()
    assert torch.equal(after[name][changed], fresh[name][changed])
    assert identical(*({k: v for k, v in s.items() if k != name} for s in (after, before)))


def test_a_rate_of_one_replaces_all():
    encoder = resnet()
    forget(encoder, {"conv1.weight": 1.0}, seed=5)
    fresh = resnet().reinitialized(seed_of("student", 5)).backbone.conv1.weight
    assert torch.equal(encoder.backbone.conv1.weight, fresh)


def test_batch_normalisations_and_biases_are_left_alone():
    defense = Bcu(epochs=0, stem_rate=1, first_rate=1, last_rate=1)
    for suspect in (resnet(), Encoder(OwnNetwork())):
        before = state(suspect.backbone)
        after = state(defense(suspect, images(), trainer=Watch()).encoder.backbone)
        kept = {k for k in before if torch.equal(before[k], after[k])}
        assert kept == {k for k in before if before[k].ndim < 2}


def test_the_terms_are_those_of_the_formula():
    built = objective(gram_weight=3.0)
    batch = images().tensor() / 255
    wanted, own = built.teacher(batch), built.learner.copy()(batch)
    terms = built(images().tensor())
    torch.testing.assert_close(terms["clone"], clone_loss(own, wanted))
    torch.testing.assert_close(terms["gram"], 3 * gram_loss(own, wanted))


def test_a_perfect_student_pays_nothing():
    built = objective()
    built.learner.load_state_dict(built.teacher.state_dict())
    built.learner.eval()
    terms = {name: term.item() for name, term in built(images().tensor()).items()}
    assert terms == pytest.approx({"clone": 0, "gram": 0}, abs=1e-6)


def test_what_was_forgotten_is_learned_again():
    suspect = settled(OwnNetwork())
    learned, held_out = pictures(96, seed=0), pictures(32, seed=1)
    defense = Bcu(epochs=40, batch_size=48, learning_rate=0.03)
    result = defense(suspect, learned, trainer=Watch())
    losses = [record["clone"] for record in result.history.epochs]
    assert losses[-1] < 0.5 * losses[0]
    assert similarity(suspect, result.encoder, held_out, Watch()) >= 0.95


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stem_rate": -0.1}, "stem_rate is a probability"),
        ({"first_rate": 1.1}, "first_rate is a probability"),
        ({"last_rate": float("nan")}, "last_rate is a probability"),
        ({"gram_weight": -1.0}, "gram_weight must be 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Bcu(**settings)
