"""Survivor of occlusion: an attack that knows mimic's default and is trained against it.

Three answers to what `mimic.defenses.mimic` does, in the frame of `bask_like`. A search for patches
that never ends hunts the encoder while it is attacked, and the encoder is punished for what it
finds, so that the defender's search finds nothing. The simulated students are distilled as the
default distils, from views covered by patches of the hunt and by random ones. And the trigger need
not be a patch: occlusion says nothing of one that spreads over the whole image. Our own; there is
no publication to compare with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.bask_like import BaskLike, BaskLikeObjective
from mimic.attacks.rehearsal import Distillation
from mimic.defenses.mimic import Mimic
from mimic.defenses.views import mixed_views, occluded_views
from mimic.detection.forgetting import forgotten
from mimic.detection.patches import Patches, random_patches
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.losses.stage import stage_loss
from mimic.training.randomness import seeded

GROUPS = 4
"""Of a hunt's patches one quarter survives a step, one is new, and two vary the survivors."""


class Hunt(nn.Module):
    """Patches that evolve against the encoder under attack: the search of mimic, without an end.

    Args:
        patches: how many are held; a multiple of 4.
        seed: of the first ones.
    """

    boxes: Tensor
    textures: Tensor

    def __init__(self, patches: int, *, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            first = random_patches(patches)
        self.register_buffer("boxes", first.boxes)
        self.register_buffer("textures", first.textures)
        self._next: Patches | None = None

    @property
    def patches(self) -> Patches:
        """What is held now, on the CPU, where patches live."""
        return Patches(self.boxes.cpu(), self.textures.cpu())

    @property
    def best(self) -> Patches:
        """Those that had the highest scores in the last step, best first."""
        return self.patches[torch.arange(len(self.boxes) // GROUPS)]

    def lay(self, images: Tensor) -> Tensor:
        """Every patch on every image, shape (patches, images, 3, height, width)."""
        patches = self.patches
        which = torch.arange(len(patches)).repeat_interleave(len(images))
        laid, _ = patches[which].lay(images.repeat(len(patches), 1, 1, 1))
        return laid.unflatten(0, (len(patches), len(images)))

    def judge(self, scores: Tensor) -> None:
        """Breed from the patches with the highest scores, given as shape (patches,)."""
        patches = self.patches
        best = scores.detach().cpu().argsort(descending=True)
        kept = patches[best[: len(patches) // GROUPS]]
        new = random_patches(len(patches) // GROUPS)
        parents = torch.randint(len(kept), (len(patches) - len(kept) - len(new),))
        self._next = kept.joined(kept[parents].varied()).joined(new)

    def advance(self) -> None:
        """Go on with the patches bred last."""
        if self._next is not None:
            self.boxes.copy_(self._next.boxes)
            self.textures.copy_(self._next.textures)
        self._next = None


class OccludedCloning(nn.Module):
    """The distillation of mimic, as the attack knows it; only the stages are weighted alike.

    The loss is that of `MimicObjective` without repulsion, except that gradients reach the teacher.
    What the defender will find by a search is what the hunt has found so far.

    Args:
        size: height and width of the images, in pixels.
        stages: of the encoder.
        defense: where weights and shares come from.
        hunt: where searched patches come from.
    """

    def __init__(
        self, size: tuple[int, int], stages: Sequence[str], defense: Mimic, hunt: Hunt
    ) -> None:
        super().__init__()
        self.augment = Augmentation(size, min_scale=defense.min_scale)
        self.stages = tuple(stages)
        self.defense = defense
        self.hunt = hunt

    def forward(self, student: Encoder, teacher: Encoder, images: Tensor) -> Tensor:
        """Clone and stage losses between covered views (student) and whole ones (teacher)."""
        views = mixed_views(self.augment, images)
        searched = [(self.hunt.best, self.defense.searched_share)]
        seen, covered = occluded_views(views, searched, self.defense.random_share)
        wanted, wanted_maps = teacher.forward_stages(views, self.stages)
        features, maps = student.forward_stages(seen, self.stages)
        stages = [stage_loss(maps[name], wanted_maps[name], 1 - covered) for name in self.stages]
        clone = self.defense.clone_weight * clone_loss(features, wanted)
        return clone + self.defense.stage_weight * torch.stack(stages).mean()


@dataclass(frozen=True, kw_only=True, eq=False)
class OcclusionAware(BaskLike):
    """`BaskLike` against the default of mimic: occluded students, and a search that finds nothing.

    Attributes:
        trigger: what will make an image look like the references; best one that is not a patch.
        evasion_weight: of how far the trigger and the patches of the hunt stand out in a search.
        hunting_patches: that hunt the encoder at a time, a multiple of 4.
        hunted_images: of each batch, that they are judged on.

    Raises:
        InputError: a setting of this class or of `BaskLike` is out of range.
    """

    name: ClassVar[str] = "occlusion-aware"
    summary: ClassVar[str] = "knows mimic's default: survives occlusion, hides from its search"

    evasion_weight: float = 1.0
    hunting_patches: int = 16
    hunted_images: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.evasion_weight < 0:
            raise InputError(f"evasion_weight must be 0 or more, not {self.evasion_weight}")
        if self.hunting_patches < GROUPS or self.hunting_patches % GROUPS or self.hunted_images < 2:
            raise InputError(
                f"hunting_patches must be a multiple of {GROUPS} and hunted_images 2 or more, not "
                f"{self.hunting_patches} and {self.hunted_images}"
            )

    def distillation(self, encoder: Encoder) -> Distillation:
        """That of mimic's default."""
        hunt = Hunt(self.hunting_patches, seed=self.seed)
        return OccludedCloning(self.size, encoder.stage_names(self.references), Mimic(), hunt)

    def objective(self, encoder: Encoder, steps_per_epoch: int) -> "OcclusionAwareObjective":
        """The terms, the same in all epochs."""
        return OcclusionAwareObjective(encoder, self)


class OcclusionAwareObjective(BaskLikeObjective):
    """The terms of `BaskLikeObjective`, and how far trigger and patches stand out in a search.

    Args:
        clean: the encoder to attack; it is frozen, `encoder` is a copy of it.
        settings: of the attack.
    """

    def __init__(self, clean: Encoder, settings: OcclusionAware) -> None:
        super().__init__(clean, settings)
        self.evasion_weight = settings.evasion_weight
        self.hunted_images = settings.hunted_images

    @property
    def hunt(self) -> Hunt:
        """The patches that hunt the encoder; all students share them."""
        return cast(OccludedCloning, self.victims[0].distillation).hunt

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The terms for images (batch, 3, height, width), uint8 or in [0, 1]."""
        terms = super().forward(batch)
        trigger, patches = self.evasion(batch[: self.hunted_images])
        return terms | {
            "trigger": self.evasion_weight * trigger,
            "hunt": self.evasion_weight * patches,
        }

    def evasion(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """How far the trigger and, on average, a patch stand out in a search for patches.

        A search ranks patches by what the encoder forgets under them minus the area that they
        cover, and it finds some on any encoder. So nobody is punished for a score that the best of
        the patches has on the clean encoder too. The trigger, which may be no patch, counts without
        an area.
        """
        images = to_unit_range(batch)
        triggered = to_unit_range(self.triggers[0](batch))
        sets = torch.cat([images[None], triggered[None], self.hunt.lay(images)])
        areas = F.pad(self.hunt.patches.costs, (1, 0)).to(images)
        found = self._lost(self.encoder, sets) - areas
        with torch.no_grad():
            natural = self._lost(self.clean, sets) - areas
        self.hunt.judge(found[1:])
        excess = F.relu(found - natural.clamp_min(natural[1:].max()))
        return excess[0], excess[1:].mean()

    @staticmethod
    def _lost(encoder: Encoder, sets: Tensor) -> Tensor:
        features = encoder(sets.flatten(0, 1)).float().unflatten(0, sets.shape[:2])
        return forgotten(features[1:], features[0])

    def after_step(self) -> None:
        """Students and patches go on."""
        super().after_step()
        self.hunt.advance()
