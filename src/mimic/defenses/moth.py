"""MOTH: make it harder to get from one cluster of features to another with a small patch.

Tao et al., "Model Orthogonalization: Class Distance Hardening in Neural Networks for Better
Security", IEEE S&P 2022.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.defenses.base import Defense, Purification
from mimic.detection.aims import Towards
from mimic.detection.clusters import Clusters, cluster
from mimic.detection.inversion import InvertedTriggers, invert, lay
from mimic.detection.penalty import MaskPenalty
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.images.tagged import Tagged
from mimic.losses.clone import clone_loss
from mimic.training import History, Objective, Plan, Trainer, mix_seed
from mimic.training.randomness import seeded

_LEAVING = 2
"""Pairs that leave each cluster, and that enter it: all k * (k - 1) would cost too much."""
_LARGEST_SHARE = 0.25
"""A trigger that covers more of the image than this hides it, and teaches nothing."""
_PENALTY = MaskPenalty(
    start=1.0, raised_by=1.5, lowered_by=1.5**1.5, patience=10, least=1e-3, most=1e6
)


def cluster_pairs(count: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Sources and targets of at most 2 * count pairs of different clusters, ordered by source.

    Each cluster is the source of as many pairs as it is the target of: its neighbours on a random
    circle of all clusters.

    Args:
        count: of clusters, 2 or more.
        seed: of the circle.
    """
    with seeded(seed):
        circle = torch.randperm(count).tolist()
    sources, targets = [], []
    for source in range(count):
        place = circle.index(source)
        for step in range(1, min(_LEAVING, count - 1) + 1):
            sources.append(source)
            targets.append(circle[(place + step) % count])
    return sources, targets


class HardenObjective(Objective):
    """Clone loss, where some views of the student carry a trigger that leads out of their cluster.

    Args:
        student: what is trained.
        teacher: the suspicious encoder, frozen; it sees no trigger.
        size: height and width of the images, in pixels.
        triggers: as many for each cluster, ordered by the cluster that they lead out of.
        per_cluster: how many these are.
        stamped_share: share of the views with a trigger, in (0, 1); one view at least.
        min_scale: smallest share of an image that a view shows.
    """

    learner: Encoder
    masks: Tensor
    patterns: Tensor

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        size: tuple[int, int],
        *,
        triggers: InvertedTriggers,
        per_cluster: int,
        stamped_share: float,
        min_scale: float,
    ) -> None:
        super().__init__()
        self.learner = student
        self.teacher = teacher.requires_grad_(False)
        self.augment = Augmentation(size, min_scale=min_scale)
        small = triggers.shares < _LARGEST_SHARE
        self.register_buffer("masks", triggers.masks * small[:, None, None, None])
        self.register_buffer("patterns", triggers.patterns)
        self.per_cluster, self.stamped_share = per_cluster, stamped_share

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """One forward pass of either network, over images and their clusters."""
        images, labels = batch
        views = self.augment(to_unit_range(images))
        stamped = min(len(views) - 1, max(1, round(self.stamped_share * len(views))))
        drawn = torch.randint(self.per_cluster, (stamped,)).to(labels)
        chosen = labels[:stamped] * self.per_cluster + drawn
        laid = lay(views[:stamped], self.masks[chosen], self.patterns[chosen])
        with torch.no_grad():
            wanted = self.teacher(views)
        features = self.learner(torch.cat([laid, views[stamped:]]))
        return {
            "trigger": clone_loss(features[:stamped], wanted[:stamped]),
            "clean": clone_loss(features[stamped:], wanted[stamped:]),
        }


@dataclass(frozen=True, kw_only=True)
class Moth(Defense):
    """Invert triggers between pairs of clusters, harden the encoder against them, and repeat.

    Attributes:
        rounds: how often triggers are inverted anew, on the encoder as it is then; the passes over
            the images are shared among the rounds.
        batch_size: images of a step, 2 or more.
        learning_rate: of Adam, constant.
        stamped_share: share of the views that carry a trigger, in (0, 1).
        min_scale: smallest share of an image that a view shows.
        clusters: of k-means in the place of classes, 2 or more.
        inversion_steps: of the optimizer, in each round, for all pairs together.
        inversion_batch_size: images that each trigger is laid on in a step.

    Raises:
        InputError: a setting is out of range.
    """

    epochs: int = 20
    rounds: int = 2
    batch_size: int = 128
    learning_rate: float = 1e-4
    stamped_share: float = 0.5
    min_scale: float = 0.2
    clusters: int = 10
    inversion_steps: int = 200
    inversion_batch_size: int = 16

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise InputError(f"epochs must be 0 or more, not {self.epochs}")
        if min(self.rounds, self.clusters - 1, self.batch_size - 1) < 1:
            raise InputError(
                "MOTH takes 1 round, 2 clusters and batches of 2 images or more, not "
                f"{self.rounds}, {self.clusters} and {self.batch_size}"
            )
        if not 0 < self.stamped_share < 1:
            raise InputError(
                "the share of views with a trigger must be above 0 and below 1, not "
                f"{self.stamped_share}"
            )

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The student starts as a copy of the suspect."""
        features = extract_features(suspect, images, trainer=trainer)
        clusters = cluster(features, self.clusters, seed=self.seed)
        student = suspect.copy().requires_grad_(True)
        parts = [
            self._round(index, epochs, suspect, student, images, clusters, trainer)
            for index, epochs in enumerate(_shared(self.epochs, self.rounds))
        ]
        return Purification(encoder=student, history=_joined(parts))

    def invert(
        self,
        encoder: Encoder,
        images: ImageSet,
        clusters: Clusters,
        trainer: Trainer,
        *,
        name: str = "moth-inversion",
    ) -> InvertedTriggers:
        """A trigger for each pair: it takes images of one cluster into another."""
        sources, targets = cluster_pairs(len(clusters), seed=self.seed)
        members = clusters.members()
        return invert(
            encoder,
            images,
            Towards(clusters.centres, targets),
            sources=[members[source] for source in sources],
            steps=self.inversion_steps,
            batch_size=self.inversion_batch_size,
            penalty=_PENALTY,
            seed=self.seed,
            name=name,
            trainer=trainer,
        )

    def _round(
        self,
        index: int,
        epochs: int,
        suspect: Encoder,
        student: Encoder,
        images: ImageSet,
        clusters: Clusters,
        trainer: Trainer,
    ) -> History:
        name = f"moth-{index + 1}"
        triggers = self.invert(student, images, clusters, trainer, name=f"{name}-inversion")
        objective = HardenObjective(
            student,
            suspect,
            images.size,
            triggers=triggers,
            per_cluster=len(triggers) // len(clusters),
            stamped_share=self.stamped_share,
            min_scale=self.min_scale,
        )
        plan = Plan(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule="constant",
            seed=mix_seed(self.seed, index),
        )
        return trainer.fit(objective, Tagged(images, clusters.labels), plan, name=name)


def _shared(epochs: int, rounds: int) -> list[int]:
    """Epochs of each round, as even as they can be; rounds without any are left out."""
    shares = [epochs // rounds + (index < epochs % rounds) for index in range(rounds)]
    return [share for share in shares if share > 0]


def _joined(parts: list[History]) -> History:
    """One history of several trainings, with epochs and steps counted through."""
    joined = History()
    for part in parts:
        epochs, steps = len(joined.epochs), joined.steps
        joined.epochs += [
            record | {"epoch": record["epoch"] + epochs, "step": record["step"] + steps}
            for record in part.epochs
        ]
        joined.summarize(steps + part.steps)
    return joined
