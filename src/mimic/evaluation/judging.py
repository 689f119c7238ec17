"""Judging a head on an encoder's features: accuracy, attack success rate and their intervals."""

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import Stamp, extract_features
from mimic.evaluation.heads import Head, predict
from mimic.evaluation.intervals import wilson_interval
from mimic.images.imageset import ImageSet
from mimic.training import Trainer


@dataclass(frozen=True, kw_only=True)
class HeadRates:
    """What one head reaches; rates are fractions in [0, 1].

    Attributes:
        seed: of the head.
        accuracy: as in `Evaluation`.
        attack_success_rate: likewise; None without a trigger.
    """

    seed: int
    accuracy: float
    attack_success_rate: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What heads on an encoder's features reach; rates are fractions in [0, 1], means of the heads.

    Intervals are those of one rate of that height: they cover the choice of images. What the choice
    of the head does is in `heads`.

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
        probe: a name of `PROBES`, or "zero-shot" where texts stand in for a head.
        seed: of the first head.
        seconds: spent on all of it.
        heads: the rates of each.
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
    heads: tuple[HeadRates, ...]

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON knows them: intervals and heads as lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


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


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a head on an encoder's features made of test images.

    Attributes:
        correct: images that got their own label.
        images: how many there were.
        hits: of the triggered images; None without a trigger.
    """

    correct: int
    images: int
    hits: Hits | None

    @property
    def accuracy(self) -> float:
        """Share of the images that got their own label."""
        return self.correct / self.images


@dataclass(frozen=True, kw_only=True)
class JudgedFeatures:
    """Features of test images, for any number of heads.

    Attributes:
        plain: of the images, shape (images, dimension).
        stamped: of the triggered images; None without a trigger.
    """

    plain: Tensor
    stamped: Tensor | None

    @classmethod
    def of(
        cls, encoder: Encoder, test: ImageSet, *, trigger: Stamp | None, trainer: Trainer | None
    ) -> "JudgedFeatures":
        """Let an encoder, which is not changed, see the images, and the triggered ones."""
        plain = extract_features(encoder, test, trainer=trainer)
        if trigger is None:
            return cls(plain=plain, stamped=None)
        stamped = extract_features(encoder, test, trigger=trigger, trainer=trainer)
        return cls(plain=plain, stamped=stamped)


def judge(head: Head, features: JudgedFeatures, labels: Tensor, *, target: int | None) -> Judgement:
    """Let a head classify the features of test images, and of the triggered ones.

    Args:
        head: classifies them.
        features: of the images.
        labels: their classes in the numbering of the head, shape (images,).
        target: the class that the trigger should lead to.
    """
    given = predict(head, features.plain)
    hits = None
    if features.stamped is not None and target is not None:
        hits = count_hits(predict(head, features.stamped), labels, target)
    return Judgement(correct=int((given == labels).sum()), images=len(labels), hits=hits)


def count_hits(predictions: Tensor, labels: Tensor, target: int) -> Hits:
    """Count triggered images that were given the target class.

    Args:
        predictions: labels given to triggered images, shape (n,).
        labels: their true labels, shape (n,); at least one is not the target.
        target: the target class.
    """
    hit, other = predictions == target, labels != target
    return Hits(int((hit & other).sum()), int(other.sum()), int(hit.sum()), len(labels))


def evaluation_of(
    judgements: Mapping[int, Judgement], *, n_train: int, probe: str, seconds: float
) -> Evaluation:
    """The mean rates of heads on the same features and images, and those of each.

    Args:
        judgements: by the seed of the head; one or more, all with hits or none.
        n_train: see `Evaluation`, like what follows.
        probe: likewise.
        seconds: likewise.
    """
    first = next(iter(judgements.values()))
    hits = [one.hits for one in judgements.values() if one.hits is not None]
    accuracy = statistics.fmean(one.accuracy for one in judgements.values())
    success = statistics.fmean(one.rate for one in hits) if hits else None
    others = hits[0].others if hits else None
    return Evaluation(
        accuracy=accuracy,
        accuracy_ci95=_interval(accuracy, first.images),
        attack_success_rate=success,
        attack_success_rate_ci95=(
            None if success is None or others is None else _interval(success, others)
        ),
        attack_success_rate_all=statistics.fmean(one.rate_all for one in hits) if hits else None,
        n_train=n_train,
        n_test=first.images,
        n_triggered=others,
        probe=probe,
        seed=next(iter(judgements)),
        seconds=seconds,
        heads=tuple(
            HeadRates(
                seed=seed,
                accuracy=one.accuracy,
                attack_success_rate=None if one.hits is None else one.hits.rate,
            )
            for seed, one in judgements.items()
        ),
    )


def _interval(rate: float, images: int) -> tuple[float, float]:
    return wilson_interval(round(rate * images), images)


def labels_of(images: ImageSet, role: str) -> Tensor:
    """The labels of images that must have some.

    Args:
        images: one image or more.
        role: what they are for, in messages.

    Raises:
        InputError: there are no images, or they have no labels.
    """
    if len(images) == 0:
        raise InputError(f"there are no {role} images in '{images.name}'")
    if images.labels is None:
        raise InputError(
            f"the {role} images '{images.name}' carry no labels; evaluation needs them: "
            "use sub-folders named by class, an .npz with 'y', or a Parquet file with 'label'"
        )
    return images.labels


def check_target(
    trigger: Stamp | None, target: int | None, classes: Tensor, test_labels: Tensor
) -> None:
    """Refuse a trigger that no success rate can be measured of.

    Args:
        trigger: goes with `target`; both or neither.
        target: the class that it should lead to.
        classes: those that a head knows, in any order, also repeated.
        test_labels: of the images that are to be attacked.

    Raises:
        InputError: one of the two is missing, no head knows the target, or all test images are of
            the target class.
    """
    if (trigger is None) != (target is None):
        given, missing = ("trigger", "target") if target is None else ("target", "trigger")
        raise InputError(f"a {given} was given without a {missing}; give both or neither")
    if target is None:
        return
    known = torch.unique(classes)
    if target not in known.tolist():
        raise InputError(
            f"target class {target} is not among the {len(known)} classes that the head knows "
            f"({int(known[0])} to {int(known[-1])})"
        )
    if not bool((test_labels != target).any()):
        raise InputError(
            f"all {len(test_labels)} test images are of the target class {target}, so that none is "
            "left to attack; test on images of other classes too"
        )
