import math

import pytest
import torch
from torch import Tensor, nn

from mimic.defenses.anp import Anp, AnpObjective
from mimic.defenses.channel_masks import masked_forward
from mimic.encoders.architectures import build_backbone
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.losses import clone_loss
from mimic.training import Plan
from mimic.training.randomness import seeded

from .support import Watch, identical, images, resnet, state


class Brighter(nn.Module):
    """An augmentation whose second views are brighter than the first ones."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.chunk(2)
        return torch.cat([first, 0.5 + 0.5 * second])


def objective(suspect: Encoder | None = None, **settings) -> AnpObjective:
    chosen = {"alpha": 0.2, "epsilon": 0.4, "steps": 1} | settings
    built = AnpObjective(suspect or resnet(), (8, 8), **chosen)
    built.augment = Brighter()
    built.prepare()
    return built


def plan(*, epochs: int, learning_rate: float) -> Plan:
    return Plan(epochs=epochs, learning_rate=learning_rate, optimizer="sgd", schedule="constant")


def wanted(built: AnpObjective) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and the suspect's features of them."""
    pixels = images().tensor() / 255
    return pixels, built.suspect(pixels)


def test_the_terms_are_those_of_the_formula():
    built = objective(alpha=0.3)
    with seeded(7):
        terms = built(images().tensor())
    view, features = wanted(built)
    with seeded(7):
        masks, noise = built.learner.by_name(), built.worst_noise(view, features)
    perturbed = clone_loss(masked_forward(built.suspect, view, masks, noise), features)
    plain = clone_loss(features, built.suspect(0.5 + 0.5 * view))
    torch.testing.assert_close(terms["plain"], 0.3 * plain)
    torch.testing.assert_close(terms["perturbed"], 0.7 * perturbed)


@pytest.mark.parametrize("term", ["plain", "perturbed"])
def test_each_term_pulls_from_the_first_step(term):
    built = objective()
    built(images().tensor())[term].backward()
    assert max(value.grad.abs().max().item() for value in built.learner.values) > 1e-4


def test_one_step_of_ascent_goes_epsilon_uphill_and_is_clipped():
    built = objective(epsilon=0.4)
    pixels, features = wanted(built)
    with seeded(7):
        start = {
            name: torch.empty(2, len(mask)).uniform_(-0.4, 0.4).requires_grad_()
            for name, mask in built.learner.by_name().items()
        }
    with seeded(7):
        noise = built.worst_noise(pixels, features)
    masks = built.learner.by_name()
    loss = clone_loss(masked_forward(built.suspect, pixels, masks, start), features)
    uphill = torch.autograd.grad(loss, list(start.values()))
    for name, direction in zip(start, uphill, strict=True):
        expected = (start[name].detach() + 0.4 * direction.sign()).clamp(-0.4, 0.4)
        assert torch.equal(noise[name], expected)


@pytest.mark.parametrize("steps", [1, 3])
def test_noise_stays_within_epsilon_and_holds_no_gradients(steps):
    built = objective(epsilon=0.25, steps=steps)
    noise = built.worst_noise(*wanted(built))
    assert all(value.abs().max() <= 0.25 for value in noise.values())
    assert not any(value.requires_grad for value in noise.values())


def test_the_noise_that_is_found_hurts_more_than_random_noise():
    built = objective(epsilon=0.2)
    pixels, features = wanted(built)

    def loss(noise: dict[str, Tensor]) -> float:
        masks = built.learner.by_name()
        return clone_loss(masked_forward(built.suspect, pixels, masks, noise), features).item()

    with seeded(7):
        random = {
            name: torch.empty(2, len(mask)).uniform_(-0.2, 0.2)
            for name, mask in built.learner.by_name().items()
        }
    with seeded(7):
        found = built.worst_noise(pixels, features)
    assert loss(found) > loss(random)


def test_without_noise_the_perturbed_term_is_zero_at_the_start():
    terms = objective(epsilon=0.0)(images().tensor())
    assert terms["perturbed"].item() == pytest.approx(0, abs=1e-6)


def test_a_normalisation_that_is_not_used_is_left_alone():
    suspect = resnet()
    suspect.backbone.spare = nn.BatchNorm2d(3)
    built = objective(suspect)
    sum(built(images().tensor()).values()).backward()
    assert built.learner.values[-1].grad is None


class Planted(nn.Module):
    """Eight channels of use and one that sleeps, but would drown the feature if it woke up."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 9, 1), nn.BatchNorm2d(9)
        self.mix = nn.Linear(9, 8, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.mix(self.norm(self.conv(images)).relu().mean(dim=(2, 3)))


def planted() -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = Encoder(Planted())
        for _ in range(50):
            encoder(images().tensor())
    with torch.no_grad():
        encoder.backbone.norm.bias[:8] = 1.0
        encoder.backbone.norm.bias[8] = -3.0
        encoder.backbone.mix.weight[:, 8] = 300.0
    return encoder.eval()


def test_the_channel_that_noise_wakes_up_loses_its_mask():
    built = objective(planted())
    Watch().fit(built, images(), plan(epochs=40, learning_rate=0.2))
    (mask,) = built.learner.values
    assert mask.mean() < 1
    assert mask[8] < 0.5
    assert mask[8] < mask[:8].min()


def test_the_channel_that_noise_wakes_up_is_pruned():
    defense = Anp(epochs=40, tolerance=0.05)
    purified = defense(planted(), images(), trainer=Watch()).encoder
    norm = batch_norms(purified)["norm"]
    assert (norm.weight[8], norm.bias[8]) == (0, 0)


def test_nothing_but_masks_is_trained_and_no_statistics_move():
    watch = Watch()
    Anp(epochs=2)(resnet(), images(), trainer=watch)
    (training,) = watch.seen
    assert training.name == "anp"
    assert identical(training.before, training.after)
    assert any(name.endswith("running_mean") for name in training.before)


def test_masks_stay_in_the_unit_range():
    built = objective()
    Watch().fit(built, images(), plan(epochs=5, learning_rate=50.0))
    values = torch.cat(list(built.learner.values))
    assert (values.min(), values.max()) == (0, 1)


def test_zero_epochs_give_the_suspect():
    purified = Anp(epochs=0, tolerance=2.0)(resnet(), images(), trainer=Watch()).encoder
    assert identical(state(purified), state(resnet()))


def test_what_is_not_pruned_is_the_suspects():
    purified = Anp(epochs=3, tolerance=1.0)(resnet(), images(), trainer=Watch()).encoder
    before, after = state(resnet()), state(purified)
    for name, value in after.items():
        assert torch.equal(value[value != 0], before[name][value != 0]), name


def test_images_held_out_are_not_learned_from():
    result = Anp(epochs=1, batch_size=1)(resnet(), images(20), trainer=Watch())
    assert result.history.steps == 16


def test_a_network_without_batch_normalisation_is_refused():
    backbone = build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4")
    with pytest.raises(InputError, match="batch normalisation"):
        Anp()(Encoder(backbone, image_size=8), images(), trainer=Watch())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -0.1}, "alpha"),
        ({"alpha": 1.1}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"epsilon": -0.1}, "epsilon"),
        ({"epsilon": math.inf}, "epsilon"),
        ({"steps": 0}, "steps"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"tolerance": 2.1}, "tolerance"),
        ({"tolerance": math.nan}, "tolerance"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Anp(**settings)
