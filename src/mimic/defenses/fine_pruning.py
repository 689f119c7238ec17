"""Fine-pruning: switch off the channels that sleep on clean images, then fine-tune.

Liu, Dolan-Gavitt & Garg, "Fine-Pruning: Defending Against Backdooring Attacks on Deep Neural
Networks", RAID 2018, arXiv:1805.12185. The images held out judge features instead of accuracy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from mimic.defenses.base import Defense, Purification
from mimic.defenses.channels import Pruned, prune
from mimic.defenses.finetune import FineTuneObjective
from mimic.defenses.holdout import check_tolerance, hold_out, strongest_within
from mimic.defenses.plans import steady_adam
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import tap
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.training.randomness import seeded

_BATCH_SIZE = 256
_BUMP = 1e4  # opens any ReLU on its way


class PrunedFineTuneObjective(FineTuneObjective, divisible=True):
    """Fine-tuning in which pruned channels stay switched off.

    Args:
        student: what is trained, already pruned.
        teacher: the suspect, frozen.
        size: height and width of the images, in pixels.
        clone_weight: of the anchor to the suspect.
        pruned: what is switched off after each step.
    """

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        size: tuple[int, int],
        *,
        clone_weight: float,
        pruned: Pruned,
    ) -> None:
        super().__init__(student, teacher, size, clone_weight=clone_weight)
        self.pruned = pruned

    def after_step(self) -> None:
        """The optimizer would wake the channels up."""
        prune(self.encoder, self.pruned)


def mean_activation(encoder: Encoder, stage: str, images: ImageSet, trainer: Trainer) -> Tensor:
    """Mean over images and positions of what is positive in a stage's map, shape (channels,)."""
    total = torch.zeros(())
    for positions in torch.arange(len(images)).split(_BATCH_SIZE):
        with tap(encoder.backbone, [stage]) as maps:
            extract_features(encoder, images.subset(positions), trainer=trainer)
        means = maps[stage].float().relu().mean(dim=(2, 3))
        total = total + means.sum(dim=0).cpu()
    return total / len(images)


@torch.no_grad()
def writing_norms(encoder: Encoder, stage: str, example: Tensor) -> tuple[str, ...]:
    """The normalisations whose channel c makes up channel c of a stage's map.

    In a chain of layers this is the last one. In a residual stage it is one per block and that of
    the shortcut: all of them have to be zero for the channel to be dead. They are found by trying:
    a change of one channel of theirs must reach that channel of the map and no other one, when
    those that were found before are silent.

    Args:
        encoder: in eval mode; nothing in it changes.
        stage: dotted name of a submodule of the backbone.
        example: images, shape (n, 3, height, width).

    Returns:
        Dotted names in the backbone.

    Raises:
        InputError: there is none, or the stage puts out no map.
    """
    norms = batch_norms(encoder)
    silent: dict[str, Tensor] = {}
    found: list[str] = []

    def stage_map(changes: Mapping[str, Tensor]) -> Tensor:
        with tap(encoder.backbone, [stage]) as maps:
            functional_call(encoder, {**silent, **changes}, (example,))
        return maps[stage]

    def reached(name: str, base: Tensor) -> list[int]:
        """Channels of the map that a change of the first channel of a normalisation reaches."""
        bias = norms[name].bias.clone()
        bias[0] += _BUMP
        changed = stage_map({f"backbone.{name}.bias": bias}) != base
        return changed.transpose(0, 1).flatten(1).any(dim=1).nonzero().flatten().tolist()

    base = stage_map({})
    candidates = [n for n, m in norms.items() if base.ndim == 4 and len(m.bias) == base.shape[1]]
    while fresh := [n for n in candidates if n not in found and reached(n, base) == [0]]:
        found += fresh
        for name in fresh:
            silent[f"backbone.{name}.weight"] = torch.zeros_like(norms[name].weight)
            silent[f"backbone.{name}.bias"] = torch.zeros_like(norms[name].bias)
        base = stage_map({})
    if not found:
        raise InputError(
            f"no batch normalisation writes the channels of stage '{stage}', so they cannot be "
            "switched off; name another last stage, or take a method that trains all weights, "
            "such as mimic or finetune"
        )
    return tuple(found)


def least_active(activity: Tensor, count: int) -> Tensor:
    """True for the `count` channels of smallest activity, shape (channels,)."""
    off = torch.zeros(len(activity), dtype=torch.bool)
    off[activity.argsort(stable=True)[:count]] = True
    return off


def percent_steps(channels: int) -> Sequence[int]:
    """How many channels 1, 2, ..., 99 % of them are; at least one, and never all."""
    counts = {round(channels * percent / 100) for percent in range(1, 100)}
    return sorted(counts - {0, channels})


@dataclass(frozen=True, kw_only=True)
class FinePruning(Defense):
    """Fine-pruning of the last stage, without labels.

    Attributes:
        epochs: of fine-tuning; 0 gives the pruned suspect.
        batch_size: images of a step; each contributes two views.
        learning_rate: of Adam.
        clone_weight: of the anchor to the suspicious encoder.
        tolerance: how far pruning may bring the mean cosine to the suspect's features below 1, on
            the fifth of the images that is held out; in [0, 2].

    Raises:
        InputError: the tolerance is out of range.
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-4
    clone_weight: float = 1.0
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Prune, then fine-tune on all images: nothing is chosen any more."""
        pruned = self.choose(suspect, images, trainer)
        student = suspect.copy().requires_grad_(True)
        prune(student, pruned)
        with seeded(self.seed):
            objective = PrunedFineTuneObjective(
                student, suspect, images.size, clone_weight=self.clone_weight, pruned=pruned
            )
        plan = steady_adam(self)
        history = trainer.fit(objective, images, plan, name="fine-pruning")
        return Purification(encoder=student, history=history)

    def choose(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Pruned:
        """The least active channels of the last stage, as many as the budget allows.

        Raises:
            InputError: the channels of the last stage cannot be switched off.
        """
        batch_norms(suspect)
        example = images.batch(torch.arange(min(8, len(images))))
        stage = suspect.stage_names(example)[-1]
        norms = writing_norms(suspect, stage, example)
        learned, judged = hold_out(images, seed=self.seed)
        activity = mean_activation(suspect, stage, learned, trainer)

        def pruned(count: int) -> Pruned:
            return dict.fromkeys(norms, least_active(activity, count))

        def build(count: int) -> Encoder:
            encoder = suspect.copy()
            prune(encoder, pruned(count))
            return encoder

        count = strongest_within(
            percent_steps(len(activity)),
            build,
            suspect,
            judged,
            tolerance=self.tolerance,
            trainer=trainer,
        )
        return pruned(count or 0)
