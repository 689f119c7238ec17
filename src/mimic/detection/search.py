"""Search for the patch that makes an encoder forget what the image shows.

A backdoor of the BadEncoder kind maps everything that carries the trigger to nearly one point. So a
patch is scored by how much of the spread of features over images is gone once it lies on all of
them, minus the share of the image that it covers. The search is evolutionary: it needs forward
passes only, no gradients, no labels and no assumption about where the patch lies or what it shows.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mimic.detection.patches import Patches, join, random_patches
from mimic.detection.spread import concentration as concentration_of
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.training import Trainer
from mimic.training.progress import Progress
from mimic.training.randomness import seeded

_SURVIVORS = 8
"""One patch in this many survives a round."""


@dataclass(frozen=True, kw_only=True)
class FoundPatches:
    """The best patches of a search, best first.

    Attributes:
        patches: what was found.
        concentration: share of the features' spread that each patch takes away, shape (n,), at
            most 1; near 0 for a patch that changes nothing, near 1 for a backdoor's trigger.
    """

    patches: Patches
    concentration: Tensor


def search_patches(
    encoder: Encoder,
    images: ImageSet,
    *,
    population: int = 512,
    rounds: int = 6,
    keep: int = 64,
    judged_on: int = 32,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> FoundPatches:
    """Find patches under which an encoder's features no longer depend on the image.

    Args:
        encoder: what is searched; left as it is.
        images: clean images.
        population: patches of a round.
        rounds: generations after the first, random one.
        keep: how many patches to return.
        judged_on: images that a patch is laid on to judge it.
        seed: of the patches and of the choice of images.
        trainer: the environment; None picks the best device of this machine.

    Returns:
        The `keep` best patches of the last generation.
    """
    quiet = replace(trainer or Trainer(), progress=False)
    shown = trainer is not None and trainer.progress
    some = images.sample(count=min(judged_on, len(images)), seed=seed)
    plain = extract_features(encoder, some, trainer=quiet)
    pixels = to_unit_range(some.tensor())

    def judge(patches: Patches) -> Tensor:
        stamped = _stamped(patches, pixels)
        features = extract_features(encoder, stamped, trainer=quiet)
        return concentration_of(features.view(len(patches), len(pixels), -1), plain)

    bar = Progress("search patches", rounds + 1, show=shown)
    with seeded(seed), bar:
        patches = random_patches(population)
        concentration = judge(patches)
        bar.advance()
        for generation in range(rounds):
            order = (concentration - patches.areas).argsort(descending=True)
            best = order[: population // _SURVIVORS]
            children = _children(patches[best], population - len(best), fresh=generation < 2)
            concentration = torch.cat([concentration[best], judge(children)])
            patches = join(patches[best], children)
            bar.advance()
    best = (concentration - patches.areas).argsort(descending=True)[:keep]
    return FoundPatches(patches=patches[best], concentration=concentration[best])


def _children(parents: Patches, count: int, *, fresh: bool) -> Patches:
    """Varied copies of random parents; in early rounds half of them are new random patches."""
    new = count // 2 if fresh else 0
    varied = parents[torch.randint(len(parents), (count - new,))].varied()
    return join(varied, random_patches(new)) if new else varied


def _stamped(patches: Patches, pixels: Tensor) -> ImageSet:
    """Every patch on every image, patch by patch, made when they are read."""
    images = len(pixels)

    def read(chosen: list[int]) -> Tensor:
        position = torch.tensor(chosen)
        laid, _ = patches[position // images].lay(pixels[position % images])
        return laid.mul(255).round().to(torch.uint8)

    return ImageSet(
        read=read,  # type: ignore[arg-type]
        indices=torch.arange(len(patches) * images),
        size=(pixels.shape[2], pixels.shape[3]),
        name="patched images",
    )
