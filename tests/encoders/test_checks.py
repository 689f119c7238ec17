import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.blueprint import find_blueprint
from mimic.encoders.checks import (
    FEWEST_IMAGES,
    check_images,
    check_student,
    check_successor,
    count_hooks,
)
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError, RunError
from mimic.images.imageset import ImageSet


def encoder(architecture="resnet10:width=2", image_size=None):
    return Encoder(build_backbone(architecture), image_size=image_size)


def images(count, size=(8, 8)):
    return ImageSet.from_tensor(torch.zeros(count, 3, *size, dtype=torch.uint8), name="holiday")


@pytest.mark.parametrize("image_size", [None, 8])
def test_enough_images_of_the_right_size_pass(image_size):
    check_images(encoder(image_size=image_size), images(FEWEST_IMAGES))


@pytest.mark.parametrize("size", [(3, 5), (40, 56)])
def test_an_encoder_of_any_size_takes_any_size(size):
    check_images(encoder(), images(FEWEST_IMAGES, size))


@pytest.mark.parametrize("count", [0, 1, FEWEST_IMAGES - 1])
def test_too_few_images_are_refused(count):
    with pytest.raises(InputError, match=f"'holiday' gives {count} images; at least 16 are needed"):
        check_images(encoder(), images(count))


def test_the_fewest_images_can_be_said():
    with pytest.raises(InputError, match="at least 40 are needed"):
        check_images(encoder(), images(39), fewest=40)


@pytest.mark.parametrize("size", [(8, 9), (9, 8), (32, 32)])
def test_another_size_is_refused(size):
    message = f"expects 8x8 images but 'holiday' gives {size[0]}x{size[1]}; open the images at"
    with pytest.raises(InputError, match=message):
        check_images(encoder(image_size=8), images(FEWEST_IMAGES, size))


def test_a_copy_is_a_successor():
    before = encoder()
    check_successor(before, before.copy())


def test_the_same_network_with_other_weights_is_a_successor():
    before = encoder()
    check_successor(before, before.reinitialized(1))


def test_a_missing_weight_is_found():
    before = encoder()
    after = before.copy()
    after.backbone.bn1 = nn.Identity()
    with pytest.raises(RunError, match=r"missing or new: .*'bn1.bias'"):
        check_successor(before, after)


def test_a_new_weight_is_found():
    before = encoder()
    after = before.copy()
    after.backbone.register_buffer("extra", torch.zeros(1))
    with pytest.raises(RunError, match=r"missing or new: \['extra'\]"):
        check_successor(before, after)


def test_another_shape_is_found():
    with pytest.raises(RunError, match=r"'conv1.weight' changed its shape or dtype"):
        check_successor(encoder(), encoder("resnet10:width=3"))


def test_another_dtype_is_found():
    before = encoder()
    with pytest.raises(RunError, match="changed its shape or dtype"):
        check_successor(before, before.copy().half())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["layer2.0.conv1.weight", "bn1.running_var"])
def test_a_value_that_is_not_finite_is_found(name, value):
    before = encoder()
    after = before.copy()
    after.backbone.state_dict()[name].view(-1)[-1] = value
    with pytest.raises(RunError, match=f"'{name}' holds values that are not finite"):
        check_successor(before, after)


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_left_behind_is_found(register):
    before = encoder()
    after = before.copy()
    getattr(after.backbone.layer3, register)(lambda *_: None)
    with pytest.raises(RunError, match="hook was left"):
        check_successor(before, after)


def test_a_hook_of_the_users_own_is_none_left_behind():
    before = encoder()
    before.backbone.layer3.register_forward_hook(lambda *_: None)
    check_successor(before, before.copy())


def test_hooks_of_both_kinds_are_counted():
    counted = encoder()
    counted.register_forward_pre_hook(lambda *_: None)
    counted.backbone.conv1.register_forward_hook(lambda *_: None)
    assert count_hooks(counted) == 2


def student(size=8, **settings):
    blueprint = find_blueprint("resnet10:width=1+linear8x16")
    return Encoder(blueprint.build(), image_size=size, **settings)


def test_a_student_of_another_architecture_can_stand_in():
    check_student(encoder(image_size=8), student(), (8, 8))


@pytest.mark.parametrize(
    "after", [student(9), student(mean=(0.5, 0.5, 0.5)), student(std=(0.5, 0.5, 0.5))]
)
def test_a_student_that_takes_other_images_is_found(after):
    with pytest.raises(RunError, match="another size or normalisation"):
        check_student(encoder(image_size=8), after, (8, 8))


def test_a_student_with_features_of_another_length_is_found():
    with pytest.raises(RunError, match="features of length 16, the teacher 32"):
        check_student(encoder("resnet10:width=4", image_size=8), student(), (8, 8))


def test_a_student_with_a_weight_that_is_not_finite_is_found():
    after = student()
    after.backbone.projection.bias.data.fill_(torch.nan)
    with pytest.raises(RunError, match=r"'projection\.bias' holds values that are not finite"):
        check_student(encoder(image_size=8), after, (8, 8))
