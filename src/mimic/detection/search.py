"""Search for the change that makes an encoder forget what the image shows, or that marks it.

Under the trigger of a backdoor features no longer follow the image: they are all alike, or
scattered. So a candidate, which is a patch, a map of colours or a pair of waves, is scored by how
much of what tells images apart is gone once it is laid on all of them, minus its cost: the share of
the image that a patch covers, or the size of what the others change. The search is evolutionary: it
needs forward passes only, no gradients, no labels and no assumption about where a patch lies or
which colours and frequencies count. Most candidates are bad, and a few images show it, so that only
the better ones are looked at on all of them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from mimic.detection.colours import ColourMaps, colour_moments, random_colour_maps
from mimic.detection.displacement import displaced
from mimic.detection.forgetting import forgotten
from mimic.detection.patches import Box, Patches, random_patches
from mimic.detection.waves import Waves, random_waves
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.training import Trainer
from mimic.training.progress import Progress
from mimic.training.randomness import seeded

_SURVIVORS = 8
"""One candidate in this many survives a round."""
DISPLACEMENT = 10
"""Standard deviations of a displacement that outweigh the cost of a whole image."""
_FIRST, _PASSED = 4, 4
"""One image in this many is looked at first, and one candidate in this many then on all images."""


class Population(Protocol):
    """Candidates of one kind, as many as there are rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Tensor) -> Self:
        """Those with the chosen numbers, in that order and as often."""

    @property
    def costs(self) -> Tensor:
        """What a candidate is charged for in a search, 0 or more, shape (n,)."""

    def lay(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Candidate i on image i, floats in [0, 1], and masks, 1 where an image is covered."""

    def varied(self) -> Self:
        """Random neighbours."""

    def joined(self, other: Self) -> Self:
        """Both populations as one."""


P = TypeVar("P", bound=Population)


@dataclass(frozen=True, kw_only=True)
class Found(Generic[P]):
    """The best candidates of a search, best first.

    Attributes:
        candidates: what was found.
        reached: what each does on the images of the search, shape (n,): the share of what tells
            images apart that it takes away, at most 1, near 0 for one that changes nothing and near
            1 for a backdoor's trigger. Of marks, how far it moves features, see `search_marks`.
    """

    candidates: P
    reached: Tensor


def search_patches(
    encoder: Encoder,
    images: ImageSet,
    *,
    population: int = 512,
    rounds: int = 6,
    keep: int = 64,
    judged_on: int = 32,
    around: Box | None = None,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Found[Patches]:
    """Find patches under which an encoder's features no longer depend on the image.

    Args:
        encoder: what is searched; left as it is.
        images: clean images.
        population: candidates of a round.
        rounds: generations after the first, random one.
        keep: how many candidates to return.
        judged_on: images that a candidate is laid on to judge it.
        around: where the centres of random patches lie; None is anywhere.
        seed: of the candidates and of the choice of images.
        trainer: the environment; None picks the best device of this machine.

    Returns:
        The `keep` best patches of the last generation.
    """
    judge = _Judge(encoder, images, judged_on, seed, trainer)
    fresh = partial(random_patches, around=around)
    return judge.evolve(fresh, population, rounds, keep, name="search patches")


def search_colours(
    encoder: Encoder,
    images: ImageSet,
    *,
    population: int = 512,
    rounds: int = 6,
    keep: int = 64,
    judged_on: int = 32,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Found[ColourMaps]:
    """The same for maps of colours; see `search_patches`."""
    judge = _Judge(encoder, images, judged_on, seed, trainer)
    fresh = partial(random_colour_maps, moments=colour_moments(judge.pixels))
    return judge.evolve(fresh, population, rounds, keep, name="search colours")


def search_waves(
    encoder: Encoder,
    images: ImageSet,
    *,
    population: int = 512,
    rounds: int = 6,
    keep: int = 64,
    judged_on: int = 32,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Found[Waves]:
    """The same for waves that are added to all of an image; see `search_patches`."""
    judge = _Judge(encoder, images, judged_on, seed, trainer)
    return judge.evolve(random_waves, population, rounds, keep, name="search waves")


def search_marks(
    encoder: Encoder,
    images: ImageSet,
    *,
    population: int = 512,
    rounds: int = 6,
    keep: int = 64,
    judged_on: int = 32,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Found[Patches]:
    """Find patches that move features to where those of no image lie; see `displaced`.

    Arguments are those of `search_patches`; all images count as plain ones.

    Returns:
        The `keep` best patches of the last generation; what they reach is the displacement in units
        of `DISPLACEMENT` standard deviations.
    """
    judge = _Judge(encoder, images, judged_on, seed, trainer)
    natural = extract_features(encoder, images, trainer=judge.trainer)
    judge.measure = lambda changed, _: displaced(changed, natural) / DISPLACEMENT
    return judge.evolve(random_patches, population, rounds, keep, name="search marks")


Measure = Callable[[Tensor, Tensor], Tensor]
"""Features of changed images (candidates, images, dimension) and of the images as they are (images,
dimension) to one number for each candidate."""


class _Judge:
    """Measures what candidates do to the features of some images, and breeds from the best."""

    measure: Measure

    def __init__(
        self, encoder: Encoder, images: ImageSet, count: int, seed: int, trainer: Trainer | None
    ) -> None:
        self.measure = forgotten
        some = images.sample(count=min(count, len(images)), seed=seed)
        self.encoder = encoder
        self.seed = seed
        self.trainer = replace(trainer or Trainer(), progress=False)
        self.shown = trainer is not None and trainer.progress
        self.plain = extract_features(encoder, some, trainer=self.trainer)
        self.pixels = to_unit_range(some.tensor())

    def __call__(self, candidates: Population, least: int) -> Tensor:
        """What each reaches; minus infinity for those that a few images rule out.

        At least so many are looked at on all images.
        """
        some, passed = len(self.pixels) // _FIRST, max(least, len(candidates) // _PASSED)
        if some < 2 or passed >= len(candidates):
            return self.measure(self._features(candidates, slice(None)), self.plain)
        first = self._features(candidates, slice(some))
        scores = self.measure(first, self.plain[:some])
        likely = _order(candidates, scores)[:passed]
        others = self._features(candidates[likely], slice(some, None))
        full = self.measure(torch.cat([first[likely], others], dim=1), self.plain)
        return torch.full_like(scores, -math.inf).scatter(0, likely, full)

    def _features(self, candidates: Population, part: slice) -> Tensor:
        """Of each candidate on each image of a part, shape (candidates, images, dimension)."""
        stamped = _stamped(candidates, self.pixels[part])
        features = extract_features(self.encoder, stamped, trainer=self.trainer)
        return features.view(len(candidates), len(self.pixels[part]), -1)

    def evolve(
        self, fresh: Callable[[int], P], population: int, rounds: int, keep: int, *, name: str
    ) -> Found[P]:
        """The best of the last generation; `fresh` draws so many random candidates."""
        with seeded(self.seed), Progress(name, rounds + 1, show=self.shown) as bar:
            candidates = fresh(population)
            scores = self(candidates, keep)
            bar.advance()
            for generation in range(rounds):
                best = _order(candidates, scores)[: population // _SURVIVORS]
                new = population - len(best)
                children = _children(candidates[best], new, fresh if generation < 2 else None)
                scores = torch.cat([scores[best], self(children, keep)])
                candidates = candidates[best].joined(children)
                bar.advance()
        best = _order(candidates, scores)[:keep]
        return Found(candidates=candidates[best], reached=scores[best])


def _order(candidates: Population, scores: Tensor) -> Tensor:
    return (scores - candidates.costs).argsort(descending=True)


def _children(parents: P, count: int, fresh: Callable[[int], P] | None) -> P:
    """Varied copies of random parents; half of them are new where `fresh` makes new ones."""
    new = count // 2 if fresh is not None else 0
    varied = parents[torch.randint(len(parents), (count - new,))].varied()
    return varied.joined(fresh(new)) if fresh is not None and new else varied


def _stamped(candidates: Population, pixels: Tensor) -> ImageSet:
    """Every candidate on every image, candidate by candidate, made when they are read."""
    images = len(pixels)

    def read(chosen: list[int]) -> Tensor:
        position = torch.tensor(chosen)
        laid, _ = candidates[position // images].lay(pixels[position % images])
        return laid.mul(255).round().to(torch.uint8)

    return ImageSet(
        read=read,  # type: ignore[arg-type]
        indices=torch.arange(len(candidates) * images),
        size=(pixels.shape[2], pixels.shape[3]),
        name="changed images",
    )
