"""Heads learn what can be learned, repeatably, and predict the labels they were given."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.evaluation.evaluate import PROBES
from mimic.evaluation.heads import (
    LINEAR,
    MLP_FAST,
    MLP_PUBLISHED,
    Head,
    Standardize,
    fit_linear,
    fit_mlp,
    predict,
)
from mimic.training import Trainer

CPU = Trainer(device="cpu", precision="32-true")
FAST = ["knn", "linear", "mlp"]


def clusters(
    count: int, *, seed: int = 0, labels: tuple[int, ...] = (0, 1, 2)
) -> tuple[Tensor, ...]:
    """Features of unit length around one centre per label, and their labels."""
    centres = torch.randn(len(labels), 8, generator=torch.Generator().manual_seed(9))
    generator = torch.Generator().manual_seed(seed)
    columns = torch.arange(count) % len(labels)
    features = centres[columns] + 0.2 * torch.randn(count, 8, generator=generator)
    return F.normalize(features, dim=1), torch.tensor(labels)[columns]


@pytest.mark.parametrize("probe", FAST)
def test_clusters_are_told_apart(probe):
    head = PROBES[probe].fit(*clusters(120), seed=0, trainer=CPU)
    features, labels = clusters(60, seed=1)
    assert torch.equal(predict(head, features), labels)


@pytest.mark.parametrize("probe", FAST)
def test_labels_need_not_be_consecutive(probe):
    head = PROBES[probe].fit(*clusters(120, labels=(3, 40, 7)), seed=0, trainer=CPU)
    features, labels = clusters(60, seed=1, labels=(3, 40, 7))
    assert torch.equal(predict(head, features), labels)


@pytest.mark.parametrize("fit", [fit_linear, fit_mlp])
def test_the_same_seed_gives_the_same_head(fit):
    features, labels = clusters(40)
    first = fit(features, labels, seed=4, trainer=CPU)
    second = fit(features, labels, seed=4, trainer=CPU)
    assert torch.equal(first(features), second(features))


@pytest.mark.parametrize("fit", [fit_linear, fit_mlp])
def test_another_seed_gives_another_head(fit):
    features, labels = clusters(40)
    first = fit(features, labels, seed=4, trainer=CPU)
    second = fit(features, labels, seed=5, trainer=CPU)
    assert not torch.equal(first(features), second(features))


@pytest.mark.parametrize("probe", FAST)
def test_the_global_random_state_is_untouched(probe):
    before = torch.get_rng_state()
    PROBES[probe].fit(*clusters(20), seed=0, trainer=CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_heads_are_trained_in_full_precision():
    features, labels = clusters(40)
    mixed = fit_mlp(features, labels, trainer=replace(CPU, precision="bf16-mixed"))
    assert torch.equal(mixed(features), fit_mlp(features, labels, trainer=CPU)(features))


def test_a_head_of_another_encoder_is_never_resumed(tmp_path):
    trainer = replace(CPU, folder=tmp_path, resume=True)
    fit_linear(*clusters(40), trainer=trainer)
    fit_linear(*clusters(40, seed=1), trainer=trainer)
    assert list(tmp_path.iterdir()) == []


def test_the_mlp_has_the_published_shape():
    head = fit_mlp(*clusters(20), trainer=CPU, plan=replace(MLP_FAST, epochs=0))
    shapes = [tuple(p.shape) for p in head.parameters()]
    assert shapes == [(512, 8), (512,), (256, 512), (256,), (3, 256), (3,)]


def test_the_published_recipe_is_the_published_one():
    plan = MLP_PUBLISHED
    assert (plan.optimizer, plan.learning_rate, plan.batch_size) == ("adam", 1e-4, 64)
    assert (plan.epochs, plan.schedule, plan.shuffle) == (500, "constant", False)


def test_the_linear_probe_does_not_care_how_dimensions_are_scaled():
    features, labels = clusters(60)
    scale, shift = torch.linspace(0.5, 50, 8), torch.linspace(-3, 3, 8)
    plain = fit_linear(features, labels, trainer=CPU, plan=replace(LINEAR, epochs=3))
    moved = fit_linear(
        features * scale + shift, labels, trainer=CPU, plan=replace(LINEAR, epochs=3)
    )
    assert torch.allclose(plain(features), moved(features * scale + shift), atol=1e-3)


def test_standardised_features_have_mean_0_and_variance_1():
    features = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 7 + 3
    standard = Standardize(features)(features)
    assert torch.allclose(standard.mean(0), torch.zeros(6), atol=1e-5)
    assert torch.allclose(standard.std(0, correction=0), torch.ones(6), atol=1e-5)


def test_a_dimension_that_never_varies_becomes_zero():
    features = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    features[:, 1] = 0.3
    unseen = torch.tensor([[0.1, 0.9]])
    assert Standardize(features)(unseen)[0, 1] == 0


class _Switch(Head):
    """Prefers its first class in eval mode and its second one in training."""

    def forward(self, features: Tensor) -> Tensor:
        column = int(self.training)
        return F.one_hot(torch.full((len(features),), column), 2).float()


def test_a_head_predicts_in_eval_mode_and_keeps_its_mode():
    head = _Switch(torch.tensor([5, 6])).train()
    assert predict(head, torch.zeros(3, 2)).tolist() == [5, 5, 5]
    assert head.training


def test_many_features_are_predicted_as_few_are():
    features, labels = clusters(10_000)
    head = fit_linear(features[:30], labels[:30], trainer=CPU)
    assert torch.equal(predict(head, features)[-5:], predict(head, features[-5:]))


@pytest.mark.parametrize("probe", FAST)
@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (torch.zeros(4, 2), torch.zeros(3)),
        (torch.zeros(4), torch.zeros(4)),
        (torch.zeros(0, 2),) * 2,
    ],
    ids=["counts", "shape", "empty"],
)
def test_features_and_labels_that_do_not_fit_are_refused(probe, features, labels):
    with pytest.raises(InputError, match="one label each"):
        PROBES[probe].fit(features, labels, seed=0, trainer=CPU)
