import pytest
import torch
from torch import Tensor, nn

from mimic.defenses import medic
from mimic.defenses.medic import (
    Medic,
    MedicObjective,
    Spread,
    layer_channels,
)
from mimic.encoders.architectures import build_backbone
from mimic.encoders.checks import count_hooks
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.losses.clone import clone_loss

from .support import Watch, identical, images, resnet, state

SHAPE = (5, 3, 2, 4)


def noise(seed: int, shape=SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TwoBranches(nn.Module):
    """The feature of the image, shifted by what a layer makes of a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 4, 3)
        self.shift = nn.Linear(1, 4)
        self.unused = nn.Linear(7, 7)
        self.feature = nn.Linear(4, 6)

    def forward(self, images: Tensor) -> Tensor:
        seen = self.look(images).mean(dim=(2, 3)) + self.shift(torch.ones(1, 1))
        return self.feature(seen)


class Brighter(nn.Module):
    """An augmentation whose second views are brighter than the first ones."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.chunk(2)
        return torch.cat([first, 0.5 + 0.5 * second])


def objective(suspect=None, *, matching_weight=10.0, size=(8, 8)) -> MedicObjective:
    """A student whose second views are brighter than the first ones, and its teacher."""
    suspect = (suspect or resnet()).eval().requires_grad_(False)
    built = MedicObjective(
        suspect.reinitialized(0),
        suspect,
        size,
        layers=layer_channels(suspect, images(2, size).tensor()),
        matching_weight=matching_weight,
        temperature=5.0,
        grad_norm=True,
    )
    built.augment = Brighter()
    built.prepare()
    return built


def test_statistics_are_means_over_batches():
    spread = Spread([3, 2])
    batches = [(noise(i), 4 * noise(10 + i, (5, 2, 1, 1))) for i in range(3)]
    for batch in batches:
        spread.observe(batch)
    for layer, (mean, deviation) in enumerate(spread.layers()):
        maps = torch.stack([batch[layer].double() for batch in batches])
        variances = maps.var(dim=(1, 3, 4), correction=0)
        torch.testing.assert_close(mean, maps.mean(dim=(1, 3, 4)).mean(dim=0).float())
        torch.testing.assert_close(deviation, variances.mean(dim=0).sqrt().float())


def test_statistics_settle_after_the_first_batches(monkeypatch):
    monkeypatch.setattr(medic, "OBSERVED_BATCHES", 2)
    spread = Spread([3])
    for seed in (0, 1):
        spread.observe([noise(seed)])
    settled = state(spread)
    spread.observe([noise(2)])
    assert identical(state(spread), settled)


def test_a_channel_that_never_changes_is_dead():
    maps = noise(0)
    maps[:, 1] = 0.3
    spread = Spread([3])
    spread.observe([maps])
    ((_, deviation),) = spread.layers()
    assert (deviation == 0).tolist() == [False, True, False]


def test_every_convolution_and_batch_normalisation_of_a_resnet_is_compared():
    suspect = resnet().requires_grad_(False)
    expected = {
        name: module.weight.shape[0]
        for name, module in suspect.backbone.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    }
    assert layer_channels(suspect, images().tensor()) == expected


def test_layers_that_the_image_does_not_reach_are_left_out():
    suspect = Encoder(TwoBranches()).requires_grad_(False)
    assert layer_channels(suspect, images().tensor()) == {"look": 4, "feature": 6}


def test_looking_changes_nothing():
    suspect, untouched = resnet().requires_grad_(False), resnet()
    layer_channels(suspect, images().tensor())
    assert identical(state(suspect), state(untouched))
    assert count_hooks(suspect) == 0
    assert [m.training for m in suspect.modules()] == [m.training for m in untouched.modules()]


def test_a_network_with_nothing_to_compare_is_refused():
    suspect = Encoder(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(InputError, match="nothing to compare"):
        layer_channels(suspect, images().tensor())


def test_a_student_that_is_the_teacher_matches():
    built = objective()
    built.encoder.load_state_dict(built.teacher.state_dict())
    built.encoder.eval()
    terms = built(images().tensor())
    assert list(terms) == ["contrastive", "matching"]
    assert terms["matching"].item() == pytest.approx(0, abs=1e-6)


def outputs_of(encoder: Encoder, views: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Features, and what each convolution and normalisation puts out."""
    found: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
        for name, module in encoder.backbone.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    features = encoder(views)
    for hook in hooks:
        hook.remove()
    return features, found


def test_the_matching_term_is_the_weighted_sum_over_layers():
    """Importance is written out: softmaxes of standardised activations and of scaled gradients."""
    built = objective(matching_weight=3.0)
    built.encoder.eval()
    term = built(images().tensor())["matching"].item()
    batch = images().tensor().double() / 255
    views = torch.cat([batch, 0.5 + 0.5 * batch])
    features, wanted = outputs_of(built.teacher.double(), views.requires_grad_())
    with torch.no_grad():
        _, own = outputs_of(built.encoder.double(), views)
    loss = 1 - torch.cosine_similarity(*features.chunk(2), dim=1).mean()
    slopes_of = zip(wanted.items(), torch.autograd.grad(loss, list(wanted.values())), strict=True)
    expected = 0.0
    for (name, theirs), slopes in slopes_of:
        axes = (0, 2, 3)
        mean = theirs.mean(axes, keepdim=True)
        deviation = (theirs - mean).square().mean(axes, keepdim=True).sqrt()
        pulls = slopes * deviation
        pulls = pulls / pulls.std(correction=0)
        matters = [
            (5 * values).flatten(1).softmax(dim=1)
            for values in ((theirs - mean) / deviation, pulls)
        ]
        weights = (matters[0] * matters[1]).sqrt()
        distances = ((theirs - own[name]) / deviation).square().flatten(1)
        expected += 3 * (weights * distances).sum(dim=1).mean().item()
    assert term == pytest.approx(expected, rel=1e-4)


def test_equal_views_tell_the_teacher_nothing():
    built = objective()
    batch = images().tensor() / 255
    _, equal = built.ask(torch.cat([batch, batch]))
    _, different = built.ask(torch.cat([batch, 0.5 + 0.5 * batch]))
    assert max(g.abs().max().item() for g in equal) < 1e-6
    assert max(g.abs().max().item() for g in different) > 1e-3


def test_the_gradient_of_the_last_layer_is_that_of_the_loss_on_features():
    built = objective(Encoder(TwoBranches()))
    views = images().tensor() / 255
    features = built.teacher(views).requires_grad_()
    (expected,) = torch.autograd.grad(clone_loss(*features.chunk(2)), features)
    found = dict(zip(built.names, built.ask(views)[1], strict=True))["feature"]
    torch.testing.assert_close(found.flatten(1), expected)


def test_asking_the_teacher_leaves_no_gradient_and_no_graph():
    built = objective()
    wanted, gradients = built.ask(images().tensor() / 255)
    assert not any(tensor.requires_grad for tensor in [*wanted, *gradients])
    assert all(p.grad is None and not p.requires_grad for p in built.teacher.parameters())


def test_only_the_student_and_its_head_receive_gradients():
    built = objective()
    sum(built(images().tensor()).values()).backward()
    assert all(p.grad is not None for p in built.learner.parameters())
    assert all(p.grad is None for p in built.teacher.parameters())


def test_the_statistics_are_saved_with_the_student():
    assert {"spread.mean", "spread.variance", "spread.batches"} <= set(
        objective().learner.state_dict()
    )


def test_it_runs_on_a_token_model():
    suspect = Encoder(build_backbone("vit_tiny:dim=8,depth=2,heads=1,patch=4"), image_size=8)
    result = Medic(epochs=1)(suspect, images(), trainer=Watch())
    assert result.history.steps == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"matching_weight": -1.0}, "matching_weight must be 0 or more and finite"),
        ({"temperature": float("inf")}, "temperature must be 0 or more and finite"),
        ({"temperature": float("nan")}, "temperature must be 0 or more and finite"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Medic(**settings)
