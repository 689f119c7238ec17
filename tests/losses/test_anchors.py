import math

import pytest
import torch
from torch.nn import functional as F

from mimic.losses.anchors import AnchorLoss, anchor_loss, channel_divergence_as_coded

SHAPE = (4, 3, 2, 5)


def features(seed, shape=(6, 9)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def anchors():
    return F.normalize(features(7, (11, 9)), dim=1)


def softmax(logits):
    top = max(logits)
    powers = [math.exp(value - top) for value in logits]
    return [power / sum(powers) for power in powers]


def divergence(wanted, own):
    return sum(p * math.log(p / q) for p, q in zip(wanted, own, strict=True))


def literal(student, teacher, temperature):
    """The formula, one image at a time, in float64."""

    def answer(feature):
        unit = feature.double() / feature.double().norm()
        return softmax([(unit @ a.double()).item() / temperature for a in anchors()])

    terms = [divergence(answer(t), answer(s)) for s, t in zip(student, teacher, strict=True)]
    return temperature**2 * sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_loss_equals_a_literal_loop(temperature):
    found = anchor_loss(features(0), features(1), anchors(), temperature).item()
    assert found == pytest.approx(literal(features(0), features(1), temperature), rel=1e-4)


def test_equal_features_cost_nothing():
    assert anchor_loss(features(0), features(0), anchors()).item() == 0


@pytest.mark.parametrize("factor", [0.01, 30.0])
def test_the_length_of_a_feature_does_not_count(factor):
    expected = anchor_loss(features(0), features(1), anchors()).item()
    found = anchor_loss(factor * features(0), features(1), anchors()).item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_order_of_the_anchors_does_not_count():
    expected = anchor_loss(features(0), features(1), anchors()).item()
    found = anchor_loss(features(0), features(1), anchors().flip(0)).item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_module_holds_the_anchors_and_saves_nothing():
    module = AnchorLoss(anchors())
    expected = anchor_loss(features(0), features(1), anchors())
    assert torch.equal(module(features(0), features(1)), expected)
    assert module.state_dict() == {}


def test_autocast_does_not_round_the_cosines():
    exact = anchor_loss(features(0), features(1), anchors())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(anchor_loss(features(0), features(1), anchors()), exact)


def test_gradients_reach_the_student_and_not_a_detached_teacher():
    student, teacher = features(0).requires_grad_(), features(1).requires_grad_()
    anchor_loss(student, teacher.detach(), anchors()).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_dead_feature_has_finite_gradients():
    student = torch.zeros(6, 9, requires_grad=True)
    anchor_loss(student, features(1), anchors()).backward()
    assert student.grad.isfinite().all()


def test_bfloat16_gives_a_finite_float32():
    loss = anchor_loss(features(0).bfloat16(), features(1).bfloat16(), anchors())
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_the_coded_loss_sums_over_positions():
    student, teacher = features(0, SHAPE), features(1, SHAPE)
    terms = []
    for image in range(4):
        for row in range(2):
            for column in range(5):
                own, wanted = (
                    softmax([value / 0.5 for value in m[image, :, row, column].double().tolist()])
                    for m in (student, teacher)
                )
                terms.append(divergence(wanted, own))
    found = channel_divergence_as_coded(student, teacher).item()
    assert found == pytest.approx(0.25 * sum(terms) / 4, rel=1e-5)


def test_the_coded_loss_grows_with_the_size_of_the_map():
    student, teacher = features(0, SHAPE), features(1, SHAPE)
    expected = 6 * channel_divergence_as_coded(student, teacher).item()
    larger = [m.repeat(1, 1, 2, 3) for m in (student, teacher)]
    assert channel_divergence_as_coded(*larger).item() == pytest.approx(expected, rel=1e-5)


def test_the_coded_loss_of_equal_maps_is_zero():
    assert channel_divergence_as_coded(features(0, SHAPE), features(0, SHAPE)).item() == 0
