import pytest
import torch

from mimic.defenses.published import PublishedMimic, PublishedObjective, affine_weights
from mimic.errors import InputError
from mimic.losses import attention_loss, clone_loss

from .support import Watch, hasty_localization, images, resnet

STAGES = ("layer1", "layer2", "layer3", "layer4")
SHARES = {
    "equal": (0.25, 0.25, 0.25, 0.25),
    "one": (0.0, 0.0, 0.0, 1.0),
    "mixed": (0.1, 0.2, 0.3, 0.4),
}


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_the_weights_of_four_stages_sum_to_14000(shares):
    weights = affine_weights(dict(zip(STAGES, shares, strict=True)))
    assert sum(weights.values()) == pytest.approx(14000)


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_each_weight_is_between_1000_and_11000(shares):
    weights = affine_weights(dict(zip(STAGES, shares, strict=True)))
    assert all(1000 <= weight <= 11000 for weight in weights.values())


def test_equal_shares_give_equal_weights():
    assert affine_weights(dict.fromkeys(STAGES, 0.25)) == dict.fromkeys(STAGES, 3500)


def objective(weights, clone_weight=1.0):
    """A student that the objective sees without augmentation, and its teacher."""
    built = PublishedObjective(
        resnet().reinitialized(0), resnet(), (8, 8), weights=weights, clone_weight=clone_weight
    )
    built.augment = torch.nn.Identity()
    built.prepare()
    return built


def test_the_terms_are_the_weighted_losses_on_the_first_view():
    built = objective({"layer1": 1000.0, "layer3": 4000.0}, clone_weight=2.0)
    batch = images().tensor() / 255
    student = built.encoder.copy()
    features, maps = student.forward_stages(torch.cat([batch, batch]), ["layer1", "layer3"])
    wanted, wanted_maps = built.teacher.forward_stages(batch, ["layer1", "layer3"])
    first = slice(0, len(batch))
    terms = built(batch)
    assert list(terms) == ["contrastive", "attention", "clone"]
    torch.testing.assert_close(
        terms["attention"],
        1000 * attention_loss(maps["layer1"][first], wanted_maps["layer1"])
        + 4000 * attention_loss(maps["layer3"][first], wanted_maps["layer3"]),
    )
    torch.testing.assert_close(terms["clone"], 2 * clone_loss(features[first], wanted))


def test_a_perfect_student_pays_for_the_contrast_alone():
    built = objective({"layer1": 1000.0})
    built.encoder.load_state_dict(built.teacher.state_dict())
    built.encoder.eval()
    terms = built(images().tensor())
    assert terms["attention"].item() == pytest.approx(0, abs=1e-6)
    assert terms["clone"].item() == pytest.approx(0, abs=1e-6)
    assert terms["contrastive"].item() > 0.1


@pytest.mark.parametrize(
    ("measured_on", "estimator"), [("student", "published-dv"), ("teacher", "infonce")]
)
def test_information_is_measured_as_each_reading_says(measured_on, estimator):
    defense = PublishedMimic(measured_on=measured_on, epochs=0, information_epochs=1)
    with hasty_localization():
        found = defense(resnet(), images(), trainer=Watch()).localization
    assert found.estimator == estimator


def test_a_negative_number_of_epochs_is_refused():
    defense = PublishedMimic(epochs=-1, information_epochs=1)
    with pytest.raises(InputError, match="epochs must be 0 or more"):
        defense(resnet(), images(), trainer=Watch())
