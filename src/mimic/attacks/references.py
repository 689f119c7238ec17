"""References: the few pictures of the target class to which an attack ties its trigger."""

import re
from pathlib import Path

import torch
from torch import Tensor

from mimic.attacks.reading import read_picture
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.evaluation.heads import fit_linear, predict
from mimic.images.folder import IMAGE_SUFFIXES
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.training import Trainer

MOST_REFERENCES = 64
"""More are refused: that is a data set, of which nobody has picked anything yet."""

_CHOSEN = re.compile(r"(.+)#([0-9]{1,12}(?:,[0-9]{1,12})*)", re.DOTALL)


def load_references(spec: str, *, size: tuple[int, int] | None = None) -> Tensor:
    """Reference pictures of an attack.

    Args:
        spec: a picture; or a source of images as `open_images` takes it (BadEncoder's `.npz` files
            are some), optionally with the images to take, counted from 0: `SRC#INDEX[,INDEX...]`.
        size: height and width of the images of the attack, to which references are brought; None
            takes what is there.

    Returns:
        uint8, shape (n, 3, height, width).

    Raises:
        InputError: something is missing or unreadable, an index is too large, or there are more
            than `MOST_REFERENCES`.
    """
    match = _CHOSEN.fullmatch(spec)
    if match is None and Path(spec).suffix.lower() in IMAGE_SUFFIXES:
        return read_picture(spec, size=size)[None]
    source = spec if match is None else match[1]
    images = open_images(source, size=size)
    if match is None:
        chosen = list(range(len(images)))
    else:
        chosen = [int(index) for index in match[2].split(",")]
    if len(chosen) > MOST_REFERENCES:
        raise InputError(
            f"'{spec}' gives {len(chosen)} references, more than {MOST_REFERENCES}; "
            "pick some of its images, as in SRC#3,7"
        )
    if max(chosen) >= len(images):
        raise InputError(
            f"there is no image {max(chosen)} in '{source}'; its images are 0 to {len(images) - 1}"
        )
    return images.batch(torch.tensor(chosen))


def reference_classes(
    encoder: Encoder, references: Tensor, train: ImageSet, *, trainer: Trainer
) -> Tensor:
    """What a linear head on the clean encoder takes the references for.

    A trigger leads to the references and no further: where a head does not see the target class in
    them, the cosines of an attack can be near 1 and its success rate 0.

    Args:
        encoder: clean; left as it was.
        references: uint8, shape (n, 3, height, width).
        train: images of the downstream task with labels, of the references' size.
        trainer: where the features are computed and the head is trained.

    Returns:
        Labels of `train`, int64, shape (n,).

    Raises:
        InputError: `train` is empty or has no labels.
    """
    if train.labels is None:
        raise InputError(
            f"the images '{train.name}' carry no labels; a head needs them to say what the "
            "references show"
        )
    head = fit_linear(
        extract_features(encoder, train, trainer=trainer), train.labels, trainer=trainer
    )
    shown = ImageSet.from_tensor(references, name="references")
    return predict(head, extract_features(encoder, shown, trainer=trainer))
