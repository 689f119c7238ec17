"""MIMIC: distil the suspicious teacher into a random student, guided by mutual information.

Han et al., "Mutual Information Guided Backdoor Mitigation for Pre-trained Encoders", IEEE TIFS
2025, arXiv:2406.03508, gave the frame: a student that starts from random weights, a clone loss on
the features, and per-stage losses weighted by the mutual information between stage and feature. A
student that copies well copies the backdoor too, however, since a trigger is a function of the
input like any other. What is ours breaks that link: the student sees an image with a patch on it,
in other colours, or with waves over it, and has to reach the feature that the teacher gives to the
image as it is.
Features and maps are copied faithfully, but such a change is never allowed to alter them, least of
all in the direction in which it alters the teacher's. Most of the changes are those under which the
teacher itself forgets what the image shows, found by searches; some patches are random. All cost
accuracy, so none gets more views than it needs, and the kind that does most to this teacher gets
more than the others.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mimic.defenses.base import Defense, Purification
from mimic.defenses.changes import find_changes
from mimic.defenses.views import mixed_views, occluded_views
from mimic.detection.crowds import CROWD, uncrowded
from mimic.detection.search import Population
from mimic.encoders.encoder import Encoder
from mimic.encoders.student import student_of
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.information.features import stage_names
from mimic.information.localize import localize
from mimic.losses.clone import clone_loss
from mimic.losses.repulsion import repulsion
from mimic.losses.stage import stage_loss
from mimic.seeds import seed_of
from mimic.training import Objective, Plan, Trainer


class MimicObjective(Objective, divisible=True, blockwise=True):
    """Clone and stage losses between an occluded view (student) and the view itself (teacher).

    Args:
        student: what is trained.
        teacher: frozen.
        size: height and width of the images, in pixels.
        weights: of the stage losses, by stage of the teacher.
        clone_weight: of the clone loss.
        searched: changes, each kind with the share of the views that the student sees under one
            of them, varied a little each time.
        random_share: share of the views that it sees under a random patch; all make at most 1.
        repulsion_weight: of the repulsion from what a change does to the teacher; 0 spares asking.
        min_scale: smallest share of an image that a view shows.
        partners: the student's stage by stage of the teacher; None where they are named alike.
    """

    learner: Encoder

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        size: tuple[int, int],
        *,
        weights: Mapping[str, float],
        clone_weight: float,
        searched: Sequence[tuple[Population, float]],
        random_share: float,
        repulsion_weight: float,
        min_scale: float,
        partners: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.learner = student
        self.teacher = teacher.requires_grad_(False)
        self.augment = Augmentation(size, min_scale=min_scale)
        self.weights = dict(weights)
        self.partners = {name: name for name in weights} if partners is None else dict(partners)
        self.clone_weight = clone_weight
        self.searched = tuple(searched)
        self.random_share = random_share
        self.repulsion_weight = repulsion_weight

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of both over all views, and one of the teacher over the changed ones."""
        views = mixed_views(self.augment, to_unit_range(batch))
        seen, covered = self.occlude(views)
        names = list(self.weights)
        with torch.no_grad():
            wanted, wanted_maps = self.teacher.forward_stages(views, names)
        own_names = list(dict.fromkeys(self.partners[name] for name in names))
        features, maps = self.learner.forward_stages(seen, own_names)
        terms = {"clone": self.clone_weight * clone_loss(features, wanted)}
        for name, weight in self.weights.items():
            own, target = maps[self.partners[name]], wanted_maps[name]
            if own.shape == target.shape:  # else there is no position to compare with
                terms[name] = weight * stage_loss(own, target, 1 - covered)
        changed = covered.flatten(1).any(dim=1)
        if self.repulsion_weight and changed.any():
            with torch.no_grad():
                lured = self.teacher(seen[changed])
            lean = repulsion(features[changed], wanted[changed], lured)
            terms["repulsion"] = self.repulsion_weight * lean
        return terms

    def occlude(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """What the student sees, and masks; see `occluded_views`."""
        return occluded_views(views, self.searched, self.random_share)


def paired_stages(teacher: Sequence[str], student: Sequence[str]) -> dict[str, str]:
    """The student's stage at the same relative depth, by stage of the teacher."""
    count, own = len(teacher), len(student)
    return {
        name: student[math.ceil(own * (index + 1) / count) - 1]
        for index, name in enumerate(teacher)
    }


@dataclass(frozen=True, kw_only=True)
class Mimic(Defense):
    """MIMIC with a student that learns to see past patches: the default of mimic.

    Attributes:
        batch_size: images of a step; each contributes two views.
        learning_rate: peak rate of AdamW, cosine schedule with one epoch of warm-up.
        clone_weight: of the clone loss on features.
        stage_weight: of the stage losses together; 0 copies features only.
        weighting: how `stage_weight` is shared among stages: by "information", or "uniform".
        sharing: what decides about the three shares that follow: with "gain", half of each may go
            to a kind of change that does more to this encoder than it does to clean ones, and half
            of the patches are searched where the smallest mask lies, see
            `mimic.defenses.changes`; "fixed" leaves shares as they are and searches anywhere.
        searched_share: share of the views that the student sees under patches that a search found
            on the suspicious encoder, in [0, 1]; 0 searches for none.
        recoloured_share: likewise, in colours that a search found.
        waved_share: likewise, with faint waves that a search found added to all of the view.
        random_share: share of the views that it sees under random patches; all make at most 1.
        repulsion_weight: of the repulsion: under a change, the student's features must not lean to
            where the teacher's are drawn, see `mimic.losses.repulsion`; 0 leaves it out.
        min_scale: smallest share of an image that a view shows.
        student: architecture of the student, such as "resnet10:width=16" or "timm:resnet10t", to
            shrink the encoder as well; None takes that of the suspicious encoder.

    Raises:
        InputError: the shares are out of range.
    """

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 4e-3
    clone_weight: float = 2.0
    stage_weight: float = 1.0
    weighting: Literal["information", "uniform"] = "information"
    sharing: Literal["gain", "fixed"] = "gain"
    searched_share: float = 0.2
    recoloured_share: float = 0.1
    waved_share: float = 0.1
    random_share: float = 0.1
    repulsion_weight: float = 0.0
    min_scale: float = 0.2
    student: str | None = None

    def __post_init__(self) -> None:
        shares = self.shares
        if min(shares.values()) < 0 or sum(shares.values()) > 1:
            *names, last = shares
            raise InputError(
                f"{', '.join(names)} and {last} must be 0 or more and at most 1 together, not "
                f"{', '.join(map(str, shares.values()))}"
            )

    @property
    def shares(self) -> dict[str, float]:
        """Shares of the views that are changed, by the setting that says so."""
        return {
            "searched_share": self.searched_share,
            "recoloured_share": self.recoloured_share,
            "waved_share": self.waved_share,
            "random_share": self.random_share,
        }

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Thin out crowds, localise, search, distil."""
        images = _without_crowds(suspect, images, seed=self.seed, trainer=trainer)
        student = self._student(suspect, images)
        found = localize(suspect, images, seed=self.seed, trainer=trainer)
        shares = found.weights
        if self.weighting == "uniform":
            shares = dict.fromkeys(shares, 1 / len(shares))
        changes = find_changes(
            suspect,
            images,
            {
                "patch": self.searched_share,
                "colour": self.recoloured_share,
                "wave": self.waved_share,
            },
            by_gain=self.sharing == "gain",
            seed=self.seed,
            trainer=trainer,
        )
        own_stages = None if self.student is None else stage_names(student, images, None)
        objective = MimicObjective(
            student,
            suspect,
            images.size,
            weights={k: self.stage_weight * share for k, share in shares.items()},
            clone_weight=self.clone_weight,
            searched=[(change.found, change.share) for change in changes],
            random_share=self.random_share,
            repulsion_weight=self.repulsion_weight,
            min_scale=self.min_scale,
            partners=None if own_stages is None else paired_stages(list(shares), own_stages),
        )
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="adamw",
            weight_decay=1e-4,
            warmup_epochs=min(1, self.epochs / 10),
            seed=self.seed,
        )
        history = trainer.fit(objective, images, plan, name="mimic")
        return Purification(
            encoder=student,
            history=history,
            localization=found,
            changes=changes,
            same_architecture=self.student is None,
        )

    def _student(self, suspect: Encoder, images: ImageSet) -> Encoder:
        seed = seed_of("student", self.seed)
        if self.student is None:
            return suspect.reinitialized(seed)
        return student_of(suspect, self.student, size=images.size, seed=seed)


def _without_crowds(suspect: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> ImageSet:
    stay = uncrowded(suspect, images, seed=seed, trainer=replace(trainer, progress=False))
    left_out = len(images) - len(stay)
    if left_out == 0:
        return images
    warnings.warn(
        f"{left_out} of {len(images)} images are left out: the encoder can hardly tell each of "
        f"them from {CROWD} others that stay. Where they do not look alike to you, they may carry "
        "the trigger of a backdoor",
        UserWarning,
        stacklevel=2,
    )
    return images.subset(stay)
