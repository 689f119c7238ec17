"""Evaluate: how well a head on a frozen encoder does, and how often a trigger takes it over."""

import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import Stamp, extract_features, stamp_batch
from mimic.evaluation.heads import MLP_PUBLISHED, Head, fit_linear, fit_mlp
from mimic.evaluation.judging import (
    Evaluation,
    JudgedFeatures,
    check_target,
    evaluation_of,
    judge,
    labels_of,
)
from mimic.evaluation.knn import fit_knn
from mimic.images.imageset import ImageSet
from mimic.training import Trainer


class Fit(Protocol):
    """Fits a head to features of unit length and their labels."""

    def __call__(
        self, features: Tensor, labels: Tensor, *, seed: int, trainer: Trainer | None
    ) -> Head: ...


@dataclass(frozen=True)
class Probe:
    """A way to classify features: one row of `PROBES`."""

    summary: str
    fit: Fit


PROBES: dict[str, Probe] = {
    "knn": Probe("weighted k nearest neighbours, k 200, temperature 0.5", fit_knn),
    "linear": Probe("linear probe on standardised features, SGD 0.01, 40 epochs", fit_linear),
    "mlp": Probe("512-256 MLP, Adam 1e-3, batch 256, 60 epochs", fit_mlp),
    "mlp-published": Probe(
        "512-256 MLP as BadEncoder trains it: Adam 1e-4, batch 64, 500 epochs",
        partial(fit_mlp, plan=MLP_PUBLISHED),
    ),
}


def evaluate(
    encoder: Encoder,
    train: ImageSet,
    test: ImageSet,
    *,
    trigger: Stamp | None = None,
    target: int | None = None,
    probe: str = "mlp",
    fitted_on: Encoder | None = None,
    seed: int = 0,
    heads: int = 1,
    trainer: Trainer | None = None,
) -> Evaluation:
    """Fit heads to the features of `train` and judge them on `test`, clean and triggered.

    The encoder is not changed. Heads never see a triggered image, and nothing is chosen by looking
    at the test labels. A success rate means little without that of a clean encoder under the same
    trigger: it can be far above one in the number of classes.

    One head is a draw of chance. Triggered images often are nearly one point among the features,
    and on which side of a line of the head it lies, nothing decides: equally accurate heads may
    differ by tens of points in their success rates. Features are computed once for all heads.

    Args:
        encoder: what is judged.
        train: labelled images for the heads.
        test: labelled images; where both sets name their classes, labels are matched by name.
        trigger: stamped on the pixels of the test images; needs `target`.
        target: label of the training images that the trigger should lead to.
        probe: a name of `PROBES`.
        fitted_on: the encoder whose features heads are fitted to, for one that took its place:
            does a classifier that was built on the old encoder still work on the new one? None
            fits heads to the features of `encoder` itself.
        seed: of the first head; the next ones have the seeds that follow.
        heads: how many are fitted; rates are their means.
        trainer: the environment; None picks the best device of this machine.

    Raises:
        InputError: the probe is unknown, there is to be no head, labels are missing, only one of
            trigger and target is given, the training images hold no target class, or the test
            images nothing else, or the two encoders have features of different lengths.

    Warns:
        UserWarning: some test images are of a class that the training images do not hold; they
            count as errors.
    """
    started = time.monotonic()
    if probe not in PROBES:
        raise InputError(f"probe '{probe}' is unknown; there are {', '.join(PROBES)}")
    if heads < 1:
        raise InputError(f"heads must be 1 or more, not {heads}")
    train_labels = labels_of(train, "training")
    test_labels = _aligned(labels_of(test, "test"), train, test)
    check_target(trigger, target, train_labels, test_labels)
    _warn_of_unseen(train_labels, test_labels)
    if trigger is not None:
        stamp_batch(trigger, test.batch(torch.tensor([0])))  # before hours of work, not after them
    if fitted_on is not None:
        _check_dimensions(fitted_on, encoder, train.size)
    known = extract_features(fitted_on or encoder, train, trainer=trainer)
    features = JudgedFeatures.of(encoder, test, trigger=trigger, trainer=trainer)
    judgements = {}
    for one in range(seed, seed + heads):
        head = PROBES[probe].fit(known, train_labels, seed=one, trainer=trainer)
        judgements[one] = judge(head, features, test_labels, target=target)
    return evaluation_of(
        judgements, n_train=len(train), probe=probe, seconds=time.monotonic() - started
    )


def _aligned(labels: Tensor, train: ImageSet, test: ImageSet) -> Tensor:
    """Test labels in the numbering of the training set, where both name their classes.

    Folders are numbered by what they hold, so a class that is missing on one side shifts the rest.
    Names that the training set lacks get numbers of their own.
    """
    if not (train.class_names and test.class_names) or train.class_names == test.class_names:
        return labels
    numbers = {name: index for index, name in enumerate(train.class_names)}
    renumbered = [numbers.setdefault(name, len(numbers)) for name in test.class_names]
    return torch.tensor(renumbered)[labels]


def _check_dimensions(old: Encoder, new: Encoder, size: tuple[int, int]) -> None:
    before, after = old.feature_dimension(size), new.feature_dimension(size)
    if before != after:
        raise InputError(
            f"the head is fitted to features of length {before}, but the encoder gives {after}; "
            "only an encoder of the same kind can take the place of the old one"
        )


def _warn_of_unseen(train_labels: Tensor, test_labels: Tensor) -> None:
    unseen = ~torch.isin(test_labels, train_labels)
    if bool(unseen.any()):
        classes = torch.unique(test_labels[unseen]).tolist()
        warnings.warn(
            f"{int(unseen.sum())} of {len(test_labels)} test images are of classes that the "
            f"training images do not hold ({', '.join(map(str, classes[:10]))}): "
            "they count as errors",
            UserWarning,
            stacklevel=3,
        )
