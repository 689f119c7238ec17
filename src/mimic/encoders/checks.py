"""What must hold for images that an encoder is given, and for an encoder made from another one."""

import torch

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError, RunError
from mimic.images.imageset import ImageSet

FEWEST_IMAGES = 16


def check_images(encoder: Encoder, images: ImageSet, *, fewest: int = FEWEST_IMAGES) -> None:
    """Refuse images that no training on `encoder` could use.

    Raises:
        InputError: there are too few, or their size is not the one that the encoder expects.
    """
    if len(images) < fewest:
        raise InputError(
            f"'{images.name}' gives {len(images)} images; at least {fewest} are needed, and a few "
            "hundred to a few thousand do better"
        )
    expected = encoder.image_size
    if expected is not None and images.size != (expected, expected):
        raise InputError(
            f"the encoder expects {expected}x{expected} images but '{images.name}' gives "
            f"{images.size[0]}x{images.size[1]}; open the images at size {expected}"
        )


def check_successor(before: Encoder, after: Encoder) -> None:
    """Make sure that `after` can stand where `before` stood.

    Raises:
        RunError: names, shapes or dtypes of the weights differ, a weight is not finite, or a hook
            was left behind.
    """
    old, new = before.backbone.state_dict(), after.backbone.state_dict()
    if old.keys() != new.keys():
        raise RunError(f"weights are missing or new: {sorted(old.keys() ^ new.keys())[:10]}")
    for name, value in new.items():
        if value.shape != old[name].shape or value.dtype != old[name].dtype:
            raise RunError(f"weight '{name}' changed its shape or dtype")
    _check_finite(after)
    if count_hooks(after) != count_hooks(before):
        raise RunError("a forward hook was left on the encoder")


def check_student(before: Encoder, after: Encoder, size: tuple[int, int]) -> None:
    """Make sure that `after`, of another architecture, can stand where `before` stood.

    Args:
        before: the teacher.
        after: the student.
        size: height and width of the images, in pixels.

    Raises:
        RunError: it takes other images, its features have another length, or a weight is not
            finite.
    """
    same = torch.equal(before.mean, after.mean) and torch.equal(before.std, after.std)
    if not same or before.image_size != after.image_size:
        raise RunError("the student takes images of another size or normalisation")
    old, new = before.feature_dimension(size), after.feature_dimension(size)
    if old != new:
        raise RunError(f"the student puts out features of length {new}, the teacher {old}")
    _check_finite(after)


def _check_finite(encoder: Encoder) -> None:
    for name, value in encoder.backbone.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise RunError(f"weight '{name}' holds values that are not finite")


def count_hooks(encoder: Encoder) -> int:
    """Number of forward hooks on all modules of an encoder."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in encoder.modules())
