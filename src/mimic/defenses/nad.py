"""Neural attention distillation: the suspect learns to look where a fine-tuned copy of it looks.

Li et al., "Neural Attention Distillation: Erasing Backdoor Triggers from Deep Neural Networks",
ICLR 2021, arXiv:2101.05930. Both trainings are without labels here.
"""

from dataclasses import dataclass

from mimic.defenses.base import Defense, Purification
from mimic.defenses.distillation import DistillationObjective, Recipe, fine_tuned
from mimic.defenses.finetune import FineTune
from mimic.defenses.plans import steady_adam
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.features import stage_names
from mimic.losses.attention import attention_loss
from mimic.losses.clone import clone_loss
from mimic.training import Trainer, mix_seed
from mimic.training.randomness import seeded


@dataclass(frozen=True, kw_only=True)
class Nad(Defense):
    """Fine-tune a teacher, then align the suspect's attention with it while fine-tuning.

    Attributes:
        teacher_epochs: of the teacher's fine-tuning; `epochs` are the student's.
        attention_weight: of the attention loss of each stage, 0 or more; 0 is the ablation that
            fine-tunes twice.
        clone_weight: of the clone loss to the fine-tuned teacher, 0 or more; it keeps a student
            that sees few images from drifting.
        batch_size: images of a step; each contributes two views.
        learning_rate: of Adam, constant, in both trainings.

    Raises:
        InputError: a weight is negative.
    """

    epochs: int = 10
    teacher_epochs: int = 10
    attention_weight: float = 1000.0
    clone_weight: float = 1.0
    batch_size: int = 128
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("attention_weight", "clone_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be 0 or more, not {getattr(self, name)}")

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The student starts as a copy of the suspect, not of the teacher."""
        # with the student's seed it would take the very steps that the student takes later
        tuning = FineTune(
            epochs=self.teacher_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=mix_seed(self.seed, 0),
        )
        teacher = fine_tuned(suspect, images, trainer, tuning)
        student = suspect.copy().requires_grad_(True)
        names = stage_names(suspect, images, None)
        recipe = Recipe(
            stages=dict.fromkeys(names, attention_loss),
            stage_weight=self.attention_weight,
            feature=clone_loss,
            feature_weight=self.clone_weight,
        )
        with seeded(self.seed):
            objective = DistillationObjective(student, teacher, images.size, recipe=recipe)
        plan = steady_adam(self)
        history = trainer.fit(objective, images, plan, name="nad")
        return Purification(encoder=student, history=history)
