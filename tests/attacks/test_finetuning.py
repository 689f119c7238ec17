"""What all attacks with references share, seen through the simplest of them."""

import pytest
import torch
from torch import Tensor, nn

from mimic.attacks.badencoder import BadEncoder, BadEncoderObjective
from mimic.attacks.finetuning import ReferenceAugmentation
from mimic.attacks.triggers import Patch
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRIGGER = Patch(height=6, width=6, row=9, column=9)


@pytest.fixture(scope="module")
def references(digits) -> Tensor:
    return digits[1000:1001]


@pytest.fixture
def objective(encoder, references):
    objective = BadEncoderObjective(encoder.copy(), references, (TRIGGER,), augmented_references=3)
    objective.prepare()
    return objective


def test_an_objective_may_do_without_triggers(encoder, digits, references):
    objective = BadEncoderObjective(encoder.copy(), references, (), augmented_references=3)
    assert objective.observe(digits[:5]).triggered.shape == (5, 0, 64)


def test_batch_normalisation_is_frozen_for_training(objective):
    frozen = [m for m in objective.learner.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m.training or m.weight.requires_grad or m.bias.requires_grad for m in frozen)


def test_everything_else_is_in_train_mode(objective):
    assert objective.learner.backbone.conv1.training
    assert objective.learner.backbone.conv1.weight.requires_grad


def test_other_dimensions_of_batch_normalisation_are_frozen_too(digits):
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.BatchNorm1d(4))
    objective = BadEncoderObjective(Encoder(backbone), digits[:1], (TRIGGER,))
    objective.prepare()
    assert not objective.learner.backbone[2].training


def test_views_of_a_reference_differ(digits):
    views = ReferenceAugmentation()(digits[:1].expand(8, -1, -1, -1) / 255)
    assert len({tuple(view.flatten().tolist()) for view in views}) > 1


def test_views_of_a_reference_show_all_of_it():
    # A crop would lose the border or the centre for some views.
    image = torch.full((64, 3, 16, 16), 0.1)
    image[:, :, 0], image[:, :, 7:9, 7:9] = 0.9, 0.9
    views = ReferenceAugmentation()(image).mean(dim=1)
    assert ((views[:, 0, 0] > views[:, 4, 4]) & (views[:, 7, 7] > views[:, 4, 4])).all()


def test_views_stay_in_the_unit_range(digits):
    views = ReferenceAugmentation()(digits[:64] / 255)
    assert 0 <= views.min() <= views.max() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"references": torch.zeros(1, 3, 16, 16)}, "references must be uint8"),
        ({"references": torch.zeros(0, 3, 16, 16, dtype=torch.uint8)}, r"of \(0, 3, 16, 16\)"),
        ({"trigger": Patch(height=17)}, "outside images of 16x16"),
        ({"augmented_references": 0}, "augmented_references"),
        ({"utility_weight": -1.0}, "weights"),
    ],
    ids=["floats", "none", "large trigger", "no view", "negative weight"],
)
def test_settings_that_cannot_work_are_refused(references, settings, message):
    with pytest.raises(InputError, match=message):
        BadEncoder(**({"references": references, "trigger": TRIGGER} | settings))


def test_references_of_another_size_than_the_images_are_refused(encoder, references):
    attack = BadEncoder(references=references, trigger=TRIGGER)
    images = ImageSet.from_tensor(torch.zeros(16, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(
        InputError, match="references are 16x16, but the images of 'images' are 32x32"
    ):
        attack(encoder, images, trainer=Trainer(device="cpu"))
