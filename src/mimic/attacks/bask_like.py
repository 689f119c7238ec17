"""Survivor of distillation: a BadEncoder that rehearses how a student will be distilled from it.

A stand-in for "BASK: Backdoor Attack for Self-Supervised Encoders with Knowledge Distillation
Survivability", Electronics 2025, 14(13), 2724, whose code and settings are not public. Only the
shape of its feature weighting and alignment losses is known; where they go is ours. Never report a
result of this attack as one of BASK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.finetuning import FineTuningAttack, ReferenceObjective
from mimic.attacks.rehearsal import Distillation, Rehearsal, Students, Victim
from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.losses.maps import as_map


def alignment_loss(
    triggered: Tensor, references: Tensor, clean: Tensor, temperature: float
) -> Tensor:
    """InfoNCE around a reference: triggered images are nearer to it than clean images are.

    Args:
        triggered: features of triggered images, shape (batch, dimension).
        references: features of the references, shape (n, dimension); the mean over them is taken.
        clean: features of clean images, shape (images, dimension).
        temperature: divisor of the cosines, above 0.

    Returns:
        A scalar above 0; log(1 + images) where all features are alike.

    Source: after the alignment loss of BASK as far as it is known (see the module). There the
        negatives are clean images compared with the triggered one; with a student that does not
        know the trigger yet, that is solved by a reference which is near to every clean image.
    """
    anchors = F.normalize(_wide(references))
    # autocast would round the similarities to bfloat16
    with torch.autocast(anchors.device.type, enabled=False):
        near = F.normalize(_wide(triggered)) @ anchors.T / temperature
        far = (F.normalize(_wide(clean)) @ anchors.T / temperature).logsumexp(dim=0)
    return (torch.logaddexp(near, far) - near).mean()


def feature_distance(triggered: Mapping[str, Tensor], references: Mapping[str, Tensor]) -> Tensor:
    """Squared distance between pooled, normalised stage outputs, mean over stages.

    Args:
        triggered: by stage, maps (batch, channels, height, width) or tokens (batch, tokens,
            dimension) of triggered images.
        references: the same of the references; constants here, the mean over them is taken.

    Returns:
        A scalar in [0, 4].

    Source: the feature weighting loss of BASK as far as it is known, every stage alike.
    """
    distances = []
    for name, maps in triggered.items():
        found, wanted = _pooled(maps), _pooled(references[name]).detach()
        distances.append((found[:, None] - wanted[None]).square().sum(dim=2).mean())
    return torch.stack(distances).mean()


def _pooled(output: Tensor) -> Tensor:
    return F.normalize(_wide(as_map(output)).mean(dim=(2, 3)))


def _wide(tensor: Tensor) -> Tensor:
    """At least float32, whatever autocast made of it."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class Cloning(nn.Module):
    """The distillation that copies features on one augmented view of each image, nothing else.

    Args:
        size: height and width of the images, in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.augment = Augmentation(size)

    def forward(self, student: Encoder, teacher: Encoder, images: Tensor) -> Tensor:
        """The clone loss; gradients flow into the teacher as well."""
        views = self.augment(images)
        return clone_loss(student(views), teacher(views))


@dataclass(frozen=True, kw_only=True, eq=False)
class BaskLike(FineTuningAttack):
    """BadEncoder, trained so that a student distilled on clean images inherits the backdoor.

    Attributes:
        trigger: what will make an image look like the references.
        survival_weight: of the alignment loss of students one step ahead.
        feature_weight: of the distance between triggered images and references at every stage.
        temperature: of the alignment loss.
        students: simulated at a time, at different ages.
        student_learning_rate: of their SGD with momentum 0.9.
        student_lifetime: steps after which a student starts from new random weights.

    Raises:
        InputError: a setting of this class or of `FineTuningAttack` is out of range.
    """

    name: ClassVar[str] = "bask-like"
    summary: ClassVar[str] = "as BadEncoder, but rehearses distillation so as to survive it"

    trigger: Trigger
    survival_weight: float = 1.0
    feature_weight: float = 1.0
    temperature: float = 0.1
    students: int = 2
    student_learning_rate: float = 1.0
    student_lifetime: int = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.survival_weight, self.feature_weight) < 0:
            raise InputError(
                "the weights of the survival and feature terms must be 0 or more, not "
                f"{self.survival_weight} and {self.feature_weight}"
            )
        if not self.temperature > 0:
            raise InputError(f"the temperature must be above 0, not {self.temperature}")
        self.simulation()

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """The one trigger."""
        return (self.trigger,)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that are attacked."""
        height, width = self.references.shape[2:]
        return height, width

    def simulation(self) -> Students:
        """The students; refuses settings out of range."""
        return Students(
            count=self.students,
            learning_rate=self.student_learning_rate,
            lifetime=self.student_lifetime,
            seed=self.seed,
        )

    def distillation(self, encoder: Encoder) -> Distillation:
        """What the victim is expected to minimise."""
        return Cloning(self.size)

    def objective(self, encoder: Encoder, steps_per_epoch: int) -> "BaskLikeObjective":
        """The terms, the same in all epochs."""
        return BaskLikeObjective(encoder, self)


class BaskLikeObjective(ReferenceObjective):
    """BadEncoder's terms, the feature distance, and the alignment of simulated students.

    Args:
        clean: the encoder to attack; it is frozen, `encoder` is a copy of it.
        settings: of the attack.
    """

    learner: Rehearsal

    def __init__(self, clean: Encoder, settings: BaskLike) -> None:
        super().__init__(
            clean,
            settings.references,
            settings.triggers,
            augmented_references=settings.augmented_references,
        )
        students = settings.simulation()
        attacked = clean.copy().requires_grad_(True)
        self.learner = Rehearsal(attacked, settings.distillation(clean), students)
        self.stages = clean.stage_names(settings.references)
        self.reference_weight = settings.reference_weight
        self.utility_weight = settings.utility_weight
        self.survival_weight = settings.survival_weight
        self.feature_weight = settings.feature_weight
        self.temperature = settings.temperature
        # In words, so that a checkpoint with other students is not resumed.
        self.simulation = repr(students)

    @property
    def encoder(self) -> Encoder:
        """The encoder under attack, without the students."""
        return self.learner.encoder

    @property
    def victims(self) -> list[Victim]:
        """The simulated students."""
        return [cast(Victim, victim) for victim in self.learner.victims]

    def prepare(self) -> None:
        """Batch normalisation is frozen in the encoder under attack, but not in its students."""
        super().prepare()
        for victim in self.victims:
            victim.train()

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The terms for images (batch, 3, height, width), uint8 or in [0, 1]."""
        seen = self.observe(batch)
        survival = torch.stack([self.survival(victim, batch) for victim in self.victims])
        return {
            "effectiveness": -seen.attraction().mean(),
            "reference": -self.reference_weight * seen.reference,
            "utility": -self.utility_weight * seen.utility,
            "features": self.feature_weight * self.distance(batch),
            "survival": self.survival_weight * survival.mean(),
        }

    def distance(self, batch: Tensor) -> Tensor:
        """The feature distance between triggered images and references."""
        parts = [to_unit_range(self.triggers[0](batch)), to_unit_range(self.references)]
        _, maps = self.encoder.forward_stages(torch.cat(parts), self.stages)
        count = len(batch)
        return feature_distance(
            {name: output[:count] for name, output in maps.items()},
            {name: output[count:] for name, output in maps.items()},
        )

    def survival(self, victim: Victim, batch: Tensor) -> Tensor:
        """The alignment loss of a student after its next step, which is made on clean images.

        It is a constant, shown but not followed, while the student is a child.
        """
        images, references = to_unit_range(batch), to_unit_range(self.references)
        parts = [to_unit_range(self.triggers[0](batch)), references, images]
        features = victim.features(victim.look_ahead(self.encoder, images), torch.cat(parts))
        triggered, attracting, clean = features.split([len(part) for part in parts])
        loss = alignment_loss(triggered, attracting, clean, self.temperature)
        return loss.detach() if victim.is_child else loss

    def after_step(self) -> None:
        """The students take the step that was looked at."""
        for victim in self.victims:
            victim.advance()
