"""Evaluate: how well a head on a frozen encoder does, and how often a trigger takes it over."""

import time
import warnings
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import Stamp, extract_features, stamp_batch
from mimic.evaluation.heads import MLP_PUBLISHED, Head, fit_linear, fit_mlp, predict
from mimic.evaluation.intervals import wilson_interval
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


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a head on an encoder's features reaches; rates are fractions in [0, 1].

    Attributes:
        accuracy: share of the test images that get their own label.
        accuracy_ci95: 95 % interval of it, low and high.
        attack_success_rate: share of triggered test images of other classes that get the target
            class; None without a trigger, like the next three.
        attack_success_rate_ci95: 95 % interval of it, low and high.
        attack_success_rate_all: the same with the images of the target class counted too, as many
            papers do.
        n_triggered: images behind `attack_success_rate`.
        n_train, n_test: labelled images the head was fitted to, and judged by.
        probe: a name of `PROBES`.
        seed: of the head.
        seconds: spent on all of it.
    """

    accuracy: float
    accuracy_ci95: tuple[float, float]
    attack_success_rate: float | None
    attack_success_rate_ci95: tuple[float, float] | None
    attack_success_rate_all: float | None
    n_train: int
    n_test: int
    n_triggered: int | None
    probe: str
    seed: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON knows them: intervals as lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


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
    trainer: Trainer | None = None,
) -> Evaluation:
    """Fit a head to the features of `train` and judge it on `test`, clean and triggered.

    The encoder is not changed. The head never sees a triggered image, and nothing is chosen by
    looking at the test labels. A success rate means little without that of a clean encoder under
    the same trigger: it can be far above one in the number of classes.

    Args:
        encoder: what is judged.
        train: labelled images for the head.
        test: labelled images; where both sets name their classes, labels are matched by name.
        trigger: stamped on the pixels of the test images; needs `target`.
        target: label of the training images that the trigger should lead to.
        probe: a name of `PROBES`.
        fitted_on: the encoder whose features the head is fitted to, for one that took its place:
            does a classifier that was built on the old encoder still work on the new one? None
            fits the head to the features of `encoder` itself.
        seed: of the head.
        trainer: the environment; None picks the best device of this machine.

    Raises:
        InputError: the probe is unknown, labels are missing, only one of trigger and target is
            given, the training images hold no target class, or the test images nothing else, or
            the two encoders have features of different lengths.

    Warns:
        UserWarning: some test images are of a class that the training images do not hold; they
            count as errors.
    """
    started = time.monotonic()
    if probe not in PROBES:
        raise InputError(f"probe '{probe}' is unknown; there are {', '.join(PROBES)}")
    train_labels = _labels(train, "training")
    test_labels = _aligned(_labels(test, "test"), train, test)
    _check_target(trigger, target, train_labels, test_labels)
    _warn_of_unseen(train_labels, test_labels)
    if trigger is not None:
        stamp_batch(trigger, test.batch(torch.tensor([0])))  # before hours of work, not after them

    def features(images: ImageSet, stamp: Stamp | None = None) -> Tensor:
        return extract_features(encoder, images, trigger=stamp, trainer=trainer)

    if fitted_on is not None:
        _check_dimensions(fitted_on, encoder, train.size)
    known = extract_features(fitted_on or encoder, train, trainer=trainer)
    head = PROBES[probe].fit(known, train_labels, seed=seed, trainer=trainer)
    correct = int((predict(head, features(test)) == test_labels).sum())
    hits = None
    if trigger is not None and target is not None:
        hits = count_hits(predict(head, features(test, trigger)), test_labels, target)
    return Evaluation(
        accuracy=correct / len(test),
        accuracy_ci95=wilson_interval(correct, len(test)),
        attack_success_rate=None if hits is None else hits.rate,
        attack_success_rate_ci95=None if hits is None else wilson_interval(hits.hits, hits.others),
        attack_success_rate_all=None if hits is None else hits.rate_all,
        n_train=len(train),
        n_test=len(test),
        n_triggered=None if hits is None else hits.others,
        probe=probe,
        seed=seed,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class Hits:
    """How many triggered images got the target class.

    Attributes:
        hits, others: hits among, and number of, the images of other classes.
        hits_all, images: hits among, and number of, all images, those of the target class included.
    """

    hits: int
    others: int
    hits_all: int
    images: int

    @property
    def rate(self) -> float:
        """Attack success rate with the target class left out."""
        return self.hits / self.others

    @property
    def rate_all(self) -> float:
        """Attack success rate with the target class counted."""
        return self.hits_all / self.images


def count_hits(predictions: Tensor, labels: Tensor, target: int) -> Hits:
    """Count triggered images that were given the target class.

    Args:
        predictions: labels given to triggered images, shape (n,).
        labels: their true labels, shape (n,); at least one is not the target.
        target: the target class.
    """
    hit, other = predictions == target, labels != target
    return Hits(int((hit & other).sum()), int(other.sum()), int(hit.sum()), len(labels))


def _labels(images: ImageSet, role: str) -> Tensor:
    if len(images) == 0:
        raise InputError(f"there are no {role} images in '{images.name}'")
    if images.labels is None:
        raise InputError(
            f"the {role} images '{images.name}' carry no labels; evaluation needs them: "
            "use sub-folders named by class, an .npz with 'y', or a Parquet file with 'label'"
        )
    return images.labels


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


def _check_target(
    trigger: Stamp | None, target: int | None, train_labels: Tensor, test_labels: Tensor
) -> None:
    if (trigger is None) != (target is None):
        given, missing = ("trigger", "target") if target is None else ("target", "trigger")
        raise InputError(f"a {given} was given without a {missing}; give both or neither")
    if target is None:
        return
    classes = torch.unique(train_labels)
    if target not in classes.tolist():
        raise InputError(
            f"target class {target} is not among the {len(classes)} classes of the training images "
            f"({int(classes[0])} to {int(classes[-1])})"
        )
    if not bool((test_labels != target).any()):
        raise InputError(
            f"all {len(test_labels)} test images are of the target class {target}, so that none is "
            "left to attack; test on images of other classes too"
        )


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
