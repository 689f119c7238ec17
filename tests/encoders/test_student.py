"""Students of another architecture: their features are as long as the teacher's."""

import pytest
import torch

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.student import student_of
from mimic.errors import InputError

SIZE = (16, 16)
IMAGES = torch.rand(2, 3, *SIZE)


@pytest.fixture
def teacher() -> Encoder:
    return Encoder(
        build_backbone("resnet10:width=4"), mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3), image_size=16
    ).eval()


@pytest.mark.parametrize(
    ("asked", "built"),
    [
        ("resnet10:width=2", "resnet10:width=2+linear16x32"),
        ("resnet18:width=4", "resnet18:width=4"),
        ("resnet50:width=2", "resnet50:width=2+linear64x32"),
        ("vit_tiny:dim=24,depth=2", "vit_tiny:dim=24,depth=2+linear24x32"),
    ],
)
def test_only_features_of_another_length_are_projected(teacher, asked, built):
    student = student_of(teacher, asked, size=SIZE, seed=0)
    assert student.architecture == built
    assert student(IMAGES).shape == (2, 32)


def test_images_go_in_as_before(teacher):
    student = student_of(teacher, "resnet10:width=2", size=SIZE, seed=0)
    assert torch.equal(student.mean, teacher.mean)
    assert torch.equal(student.std, teacher.std)
    assert student.image_size == 16


def test_the_seed_decides_the_weights(teacher):
    first, again, other = (
        student_of(teacher, "resnet10:width=2", size=SIZE, seed=seed).backbone.state_dict()
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["projection.weight"], other["projection.weight"])
    assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])


def test_the_global_random_state_is_left_as_it_was(teacher):
    before = torch.get_rng_state()
    student_of(teacher, "resnet10:width=2", size=SIZE, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_all_of_it_is_trainable_and_in_training_mode(teacher):
    student = student_of(teacher.requires_grad_(False), "resnet10:width=2", size=SIZE, seed=0)
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert all(module.training for module in student.modules())


def test_statistics_are_fresh(teacher):
    student = student_of(teacher, "resnet10:width=2", size=SIZE, seed=0)
    assert int(student.backbone.backbone.bn1.num_batches_tracked) == 0


def test_a_student_that_takes_no_such_images_is_refused(teacher):
    with pytest.raises(InputError, match=r"'vit_tiny:patch=5' does not take images of 16x16"):
        student_of(teacher, "vit_tiny:patch=5", size=SIZE, seed=0)


def test_an_unknown_architecture_is_refused(teacher):
    with pytest.raises(InputError, match="architecture 'resnet11' is unknown"):
        student_of(teacher, "resnet11", size=SIZE, seed=0)
