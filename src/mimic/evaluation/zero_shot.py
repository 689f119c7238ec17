"""Zero-shot: an image belongs to the class whose text lies nearest; nothing is trained.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
arXiv:2103.00020, section 3.1. It works for encoders whose feature is the image embedding of a CLIP
model, with embeddings of the same model's texts.
"""

import time
from dataclasses import replace

import torch
from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import Stamp, stamp_batch
from mimic.evaluation.heads import Head
from mimic.evaluation.judging import (
    Evaluation,
    JudgedFeatures,
    check_target,
    evaluation_of,
    judge,
    labels_of,
)
from mimic.evaluation.texts import TextEmbeddings
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

ZERO_SHOT = "zero-shot"


class TextHead(Head):
    """Scores are cosines to the texts; a CLIP model's temperature would change no order.

    Args:
        vectors: text embeddings of length 1, shape (classes, dimension).
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor) -> None:
        super().__init__(torch.arange(len(vectors)))
        self.register_buffer("vectors", vectors)

    def forward(self, features: Tensor) -> Tensor:
        """Features of length 1 (n, dimension) to cosines (n, classes)."""
        return features @ self.vectors.T


def evaluate_zero_shot(
    encoder: Encoder,
    test: ImageSet,
    texts: TextEmbeddings,
    *,
    trigger: Stamp | None = None,
    target: int | None = None,
    trainer: Trainer | None = None,
) -> Evaluation:
    """Judge an encoder by texts: accuracy on `test`, and the attack success rate of a trigger.

    Args:
        encoder: the image tower; not changed.
        test: labelled images; where both name their classes, labels are matched by name.
        texts: one embedding per class.
        trigger: stamped on the pixels of the test images; needs `target`.
        target: the class that the trigger should lead to, a row of `texts`.
        trainer: the environment; None picks the best device of this machine.

    Returns:
        Rates under the probe "zero-shot", with 0 training images.

    Raises:
        InputError: features and texts differ in length, labels are missing or have no text, or
            trigger and target are not as they should be.
    """
    started = time.monotonic()
    test = with_classes_of_texts(test, texts)
    labels = labels_of(test, "test")
    check_target(trigger, target, torch.arange(len(texts.vectors)), labels)
    length = encoder.feature_dimension(test.size)
    if length != texts.vectors.shape[1]:
        raise InputError(
            f"the encoder gives features of length {length}, the embeddings in '{texts.name}' have "
            f"{texts.vectors.shape[1]}; take texts of the model that the encoder is the tower of"
        )
    if trigger is not None:
        stamp_batch(trigger, test.batch(torch.tensor([0])))  # before hours of work, not after them
    features = JudgedFeatures.of(encoder, test, trigger=trigger, trainer=trainer)
    found = judge(TextHead(texts.vectors), features, labels, target=target)
    return evaluation_of({0: found}, n_train=0, probe=ZERO_SHOT, seconds=time.monotonic() - started)


def with_classes_of_texts(test: ImageSet, texts: TextEmbeddings) -> ImageSet:
    """The images with their labels in the order of the texts.

    Where both name their classes the names decide; otherwise the numbers are taken as they are.

    Raises:
        InputError: the images have no labels, or one of a class without a text.
    """
    labels, names = labels_of(test, "test"), texts.class_names
    if names and test.class_names:
        present = [test.class_names[index] for index in labels.unique().tolist()]
        missing = sorted(set(present) - set(names))
        if missing:
            raise InputError(
                f"'{texts.name}' has no embedding of {', '.join(missing[:10])}; it names "
                f"{', '.join(names[:20])}"
            )
        rows = [names.index(name) if name in names else -1 for name in test.class_names]
        labels = torch.tensor(rows)[labels]
    elif int(labels.max()) >= len(texts.vectors):
        raise InputError(
            f"'{test.name}' has labels up to {int(labels.max())}, but '{texts.name}' holds "
            f"{len(texts.vectors)} embeddings, for 0 to {len(texts.vectors) - 1}"
        )
    return replace(test, labels=labels, class_names=names or test.class_names)
