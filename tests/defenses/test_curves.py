import pytest
import torch
from torch import nn

from mimic.defenses import curves
from mimic.defenses.curves import CurveObjective, bezier, recompute_statistics
from mimic.encoders.encoder import Encoder
from mimic.losses import nt_xent
from mimic.pretraining.heads import projection_head
from mimic.training import Plan

from .support import Watch, batches_counted, identical, images, resnet, state


def other() -> Encoder:
    """A second encoder of the same architecture, with statistics of its own."""
    encoder = resnet().reinitialized(7)
    with torch.no_grad():
        encoder(1 - images().tensor() / 255)
    return encoder.eval()


def objective(**settings) -> CurveObjective:
    """A curve between two encoders, whose middle is somewhere else, on plain images."""
    head = projection_head(resnet().feature_dimension((8, 8)))
    built = CurveObjective(resnet(), other(), head, (8, 8), **settings)
    built.augment = nn.Identity()
    built.prepare()
    return built


def fit(built: CurveObjective) -> None:
    Watch().fit(built, images(), Plan(epochs=2, batch_size=16, learning_rate=1e-2))


def test_both_ends_are_met_bit_for_bit_after_training():
    built = objective()
    fit(built)
    assert identical(state(built.encoder_at(0.0)), state(resnet()))
    assert identical(state(built.encoder_at(1.0)), state(other()))


def test_only_the_middle_and_the_head_are_trained():
    built = objective()
    before = {name: state(module) for name, module in built.named_children()}
    middle = state(built.encoder)
    fit(built)
    assert identical(state(built.start), before["start"])
    assert identical(state(built.end), before["end"])
    names = [name for name, _ in built.encoder.named_parameters()]
    after = state(built.encoder)
    assert [name for name in names if torch.equal(middle[name], after[name])] == []


@pytest.mark.parametrize("point", [0.1, 0.4, 0.9])
def test_an_untrained_middle_gives_a_straight_line(point):
    built = objective()
    ends = (dict(part.named_parameters()) for part in (built.start, built.end))
    start, end = ends
    for name, weight in built.weights_at(point).items():
        torch.testing.assert_close(weight, torch.lerp(start[name], end[name], point))


def test_the_middle_pulls_by_its_share_of_the_curve():
    start, middle, end = ({"w": torch.randn(3, requires_grad=True)} for _ in range(3))
    bezier(start, middle, end, 0.25)["w"].sum().backward()
    shares = [part["w"].grad[0].item() for part in (start, middle, end)]
    assert shares == pytest.approx([0.5625, 0.375, 0.0625])


def observed(built: CurveObjective, batch) -> tuple[dict, list[float]]:
    """The terms of a step, and the points at which the curve was asked."""
    points, weights_at = [], built.weights_at

    def spy(point):
        points.append(point)
        return weights_at(point)

    built.weights_at = spy
    terms = built(batch)
    built.weights_at = weights_at
    return terms, points


@pytest.mark.parametrize("shared", [True, False])
def test_the_loss_is_that_of_the_encoders_at_the_points(shared):
    built = objective(shared_point=shared).eval()
    with torch.no_grad():
        for weight in built.encoder.parameters():
            weight.mul_(1.1)
    batch = images().tensor()
    terms, points = observed(built, batch)
    assert len(points) == len(set(points)) == (1 if shared else 2)
    # in eval mode the statistics are those of the middle
    features = []
    for point in (points[0], points[-1]):
        reference = built.encoder.copy()
        reference.load_state_dict(built.encoder_at(point).state_dict() | statistics(built.encoder))
        features.append(reference.eval()(batch))
    first, second = built.learner["head"](torch.cat(features)).chunk(2)
    torch.testing.assert_close(terms["contrastive"], nt_xent(first, second, 0.5))


def statistics(encoder: Encoder) -> dict:
    return {k: v for k, v in encoder.state_dict().items() if "running" in k}


def test_each_step_counts_one_batch():
    built = objective()
    before = batches_counted(built.learner)
    built(images().tensor())
    assert batches_counted(built.learner) == [count + 1 for count in before]


def test_decay_is_half_the_squared_length_at_the_point():
    terms, (point,) = observed(built := objective(decay=0.3), images().tensor())
    length = sum(w.square().sum() for w in built.weights_at(point).values())
    torch.testing.assert_close(terms["decay"], 0.15 * length)


def test_without_decay_there_is_no_such_term():
    assert set(objective()(images().tensor())) == {"contrastive"}


def normalizing() -> Encoder:
    """Batch normalisation of the very pixels, with a dropout that must stay off."""
    norm = nn.BatchNorm2d(3, momentum=0.3)
    norm.num_batches_tracked += 5
    backbone = nn.Sequential(nn.Dropout(0.5), norm, nn.AdaptiveAvgPool2d(1))
    return Encoder(backbone)


def recomputed(encoder: Encoder, monkeypatch) -> nn.BatchNorm2d:
    """The normalisation after statistics were measured on 32 plain images in batches of 16."""
    monkeypatch.setattr(curves, "Augmentation", lambda *_, **__: nn.Identity())
    recompute_statistics(encoder, images(), batch_size=16, seed=0, trainer=Watch())
    return encoder.backbone[1]


def test_recomputed_statistics_are_means_over_the_batches(monkeypatch):
    norm = recomputed(normalizing(), monkeypatch)
    batches = (images().tensor().double() / 255).transpose(0, 1).flatten(2).split(16, dim=1)
    means = torch.stack([batch.flatten(1).mean(dim=1) for batch in batches]).mean(dim=0)
    variances = torch.stack([batch.flatten(1).var(dim=1) for batch in batches]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean.double(), means, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), variances, rtol=1e-5, atol=1e-6)


def test_recomputing_counts_on_and_leaves_momentum_and_modes(monkeypatch):
    encoder = normalizing()
    norm = recomputed(encoder, monkeypatch)
    assert (int(norm.num_batches_tracked), norm.momentum) == (5 + 2, 0.3)
    assert not any(module.training for module in encoder.modules())


def test_recomputing_changes_statistics_and_nothing_else():
    encoder, before, randomness = other(), state(other()), torch.get_rng_state()
    recompute_statistics(encoder, images(), batch_size=16, seed=0, trainer=Watch())
    changed = {key for key, value in state(encoder).items() if not torch.equal(value, before[key])}
    assert {key.rsplit(".", 1)[1] for key in changed} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    assert torch.equal(torch.get_rng_state(), randomness)


def test_the_seed_decides_the_views_that_are_measured():
    def found(seed):
        encoder = other()
        recompute_statistics(encoder, images(), batch_size=16, seed=seed, trainer=Watch())
        return state(encoder)

    assert identical(found(0), found(0))
    assert not identical(found(0), found(1))


def test_without_batch_normalisation_nothing_is_recomputed():
    encoder = Encoder(nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()))
    before = state(encoder)
    recompute_statistics(encoder, images(), batch_size=16, seed=0, trainer=Watch())
    assert identical(state(encoder), before)
