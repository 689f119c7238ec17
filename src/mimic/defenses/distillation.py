"""Distillation: a random student learns from the suspicious teacher, by one of nine losses.

Han et al., "On the Effectiveness of Distillation in Mitigating Backdoors in Pre-trained Encoder",
arXiv:2403.03846, compared such losses. Its code computes something else than their names say for
most of them; here each is what its own paper describes, and four can be had as they were coded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mimic.defenses.base import Defense, Purification
from mimic.defenses.finetune import FineTune
from mimic.defenses.plans import steady_adam
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.information.features import stage_names
from mimic.losses.anchors import AnchorLoss, channel_divergence_as_coded
from mimic.losses.attended import AttendedLoss, attended_loss_as_coded
from mimic.losses.attention import attention_loss
from mimic.losses.clone import clone_loss
from mimic.losses.correlation import correlation_as_coded, correlation_loss
from mimic.losses.fitnet import hint_loss
from mimic.losses.maps import as_map
from mimic.losses.pkt import transfer_loss
from mimic.losses.relational import relational_loss
from mimic.losses.similarity import similarity_loss
from mimic.pretraining.simclr import SimClrObjective
from mimic.seeds import seed_of
from mimic.training import Trainer
from mimic.training.randomness import seeded

Way = Literal["at", "atd", "fitnet", "kd", "sp", "cc", "afd", "pkt", "rkd"]
Teacher = Literal["suspect", "fine-tuned"]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Of what the student puts out and what the teacher puts out."""

ANCHORS = 1024


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row of the study's table: a loss of maps, its weight, how many stages, the clone loss."""

    loss: Loss | None = None
    weight: float = 1000.0
    depth: int | None = None
    clone: bool = False


# "rkd" holds the weights of its paper, 25 and 50, already. "afd" and "kd" need networks or anchors
# of their own, which `Distillation.recipe` adds.
_AS_DESCRIBED: dict[str, _Row] = {
    "at": _Row(loss=attention_loss),
    "atd": _Row(loss=attention_loss, clone=True),
    "fitnet": _Row(loss=hint_loss),
    "kd": _Row(),
    "sp": _Row(loss=similarity_loss, clone=True),
    "cc": _Row(loss=correlation_loss),
    "afd": _Row(),
    "pkt": _Row(loss=transfer_loss, clone=True),
    "rkd": _Row(loss=relational_loss, weight=1.0, clone=True),
}
_AS_CODED: dict[str, _Row] = {
    "kd": _Row(loss=channel_divergence_as_coded, depth=1),
    "sp": _Row(clone=True),
    "cc": _Row(loss=correlation_as_coded),
    "afd": _Row(loss=attended_loss_as_coded),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is compared, and how much it counts.

    Attributes:
        stages: losses of maps, by stage.
        stage_weight: of each of them.
        feature: loss of features, if there is one.
        feature_weight: of it.
    """

    stages: Mapping[str, Loss]
    stage_weight: float = 1000.0
    feature: Loss | None = None
    feature_weight: float = 1.0


class DistillationObjective(SimClrObjective, divisible=True, blockwise=True):
    """NT-Xent on both views of the student; losses between student and teacher on the first view.

    Args:
        student: what is trained, with a fresh projection head.
        teacher: frozen.
        size: height and width of the images, in pixels.
        recipe: what is compared. Losses of maps that are modules are trained too.
    """

    def __init__(
        self, student: Encoder, teacher: Encoder, size: tuple[int, int], *, recipe: Recipe
    ) -> None:
        super().__init__(student, size)
        self.teacher = teacher.requires_grad_(False)
        self.recipe = recipe
        trained = (loss for loss in recipe.stages.values() if isinstance(loss, nn.Module))
        self.learner["losses"] = nn.ModuleList(trained)
        self.frozen = recipe.feature if isinstance(recipe.feature, nn.Module) else None

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of the student over both views; the teacher sees the first one."""
        views = self.views(batch)
        first = slice(0, len(batch))
        recipe, names = self.recipe, list(self.recipe.stages)
        features, maps = self.encoder.forward_stages(views, names)
        with torch.no_grad():
            wanted, wanted_maps = self.teacher.forward_stages(views[first], names)
        terms = self.contrast(features)
        if names:
            losses = [recipe.stages[k](maps[k][first], wanted_maps[k]) for k in names]
            terms["stages"] = recipe.stage_weight * torch.stack(losses).sum()
        if recipe.feature is not None:
            terms["feature"] = recipe.feature_weight * recipe.feature(features[first], wanted)
        return terms


@dataclass(frozen=True, kw_only=True)
class Distillation(Defense):
    """Distil the suspicious teacher into a student with random weights.

    Attributes:
        way: what the student has to match: "at" attention, "atd" attention and features, "fitnet"
            maps, "kd" answers to anchors, "sp" similarities, "cc" correlations, "afd" attended
            channels, "pkt" probabilities of neighbours, "rkd" distances and angles.
        as_coded: compute what the code of the study computes under that name; for "kd", "sp", "cc"
            and "afd".
        teacher: the "suspect" itself, or a copy of it, "fine-tuned" on the clean images.
        teacher_epochs: of that fine-tuning.
        batch_size: images of a step; each contributes two views.
        learning_rate: of Adam, constant.

    Raises:
        InputError: the way or the teacher is unknown, or the way was not coded otherwise.
    """

    epochs: int = 500
    way: Way = "at"
    as_coded: bool = False
    teacher: Teacher = "suspect"
    teacher_epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.way not in get_args(Way):
            raise InputError(f"way '{self.way}' is unknown; there are {', '.join(get_args(Way))}")
        if self.teacher not in get_args(Teacher):
            raise InputError(f"teacher '{self.teacher}' is unknown; use suspect or fine-tuned")
        if self.as_coded and self.way not in _AS_CODED:
            raise InputError(
                f"as_coded is there for {', '.join(_AS_CODED)}, whose code differs from "
                f"what they are; leave it out for '{self.way}'"
            )

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Fine-tune the teacher if asked to, then distil."""
        student = suspect.reinitialized(seed_of("student", self.seed))
        teacher = suspect
        if self.teacher == "fine-tuned":
            tuning = FineTune(
                epochs=self.teacher_epochs, batch_size=self.batch_size, seed=self.seed
            )
            teacher = fine_tuned(suspect, images, trainer, tuning)
        with seeded(self.seed):
            objective = DistillationObjective(
                student, teacher, images.size, recipe=self.recipe(teacher, images, trainer)
            )
        plan = steady_adam(self)
        name = f"distill-{self.way}" + ("-as-coded" if self.as_coded else "")
        history = trainer.fit(objective, images, plan, name=name)
        return Purification(encoder=student, history=history)

    def recipe(self, teacher: Encoder, images: ImageSet, trainer: Trainer) -> Recipe:
        """What the way compares, with the weights of the study where it has some."""
        row = (_AS_CODED if self.as_coded else _AS_DESCRIBED)[self.way]
        names = stage_names(teacher, images, None)
        stages = {} if row.loss is None else dict.fromkeys(names[: row.depth], row.loss)
        feature: Loss | None = clone_loss if row.clone else None
        feature_weight = 1.0
        if self.way == "afd" and not self.as_coded:
            widths = stage_widths(teacher, images, names)
            stages = {name: AttendedLoss(width) for name, width in widths.items()}
        if self.way == "kd" and not self.as_coded:
            feature = AnchorLoss(anchor_features(teacher, images, trainer, seed=self.seed))
            feature_weight = row.weight
        return Recipe(
            stages=stages, stage_weight=row.weight, feature=feature, feature_weight=feature_weight
        )


def fine_tuned(suspect: Encoder, images: ImageSet, trainer: Trainer, tuning: FineTune) -> Encoder:
    """A teacher: the suspect after fine-tuning, in eval mode and without what it was trained by."""
    teacher = tuning.run(suspect, images, trainer).encoder.eval()
    teacher.zero_grad(set_to_none=True)
    return teacher


def anchor_features(teacher: Encoder, images: ImageSet, trainer: Trainer, *, seed: int) -> Tensor:
    """The teacher's features of 1024 clean images drawn at random, or of all where there are fewer.

    Returns:
        Rows of length 1, shape (anchors, dimension), on the CPU.
    """
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return extract_features(teacher, images.subset(drawn[:ANCHORS]), trainer=trainer)


@torch.no_grad()
def stage_widths(encoder: Encoder, images: ImageSet, names: list[str]) -> dict[str, int]:
    """Channels of the map (or dimension of the tokens) that each stage puts out."""
    example = to_unit_range(images.batch(torch.tensor([0]))).to(encoder.mean.device)
    with evaluating(encoder):
        _, maps = encoder.forward_stages(example, names)
    return {name: as_map(maps[name]).shape[1] for name in names}
