"""PoisoningAttack: plant images in what a victim pre-trains on; its training does the rest."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from mimic.attacks.base import Attack, Attacked, Poisoned, ThreatModel
from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.writing import write_images
from mimic.pretraining import Pretraining, SimClr
from mimic.training import Trainer


@dataclass(frozen=True, kw_only=True, eq=False)
class PoisoningAttack(Attack):
    """Base of the attacks that only plant images: a new one says how in `poison`.

    Attributes:
        target: label of the class that the trigger is to lead to, as in the images' labels.
        trigger: what opens the backdoor.
        pretraining: how the victim trains; its seed also decides the first weights.
        seed: decides which images are poisoned, and how.
    """

    threat_model: ClassVar[ThreatModel] = "poisoning"

    target: int
    trigger: Trigger
    pretraining: Pretraining = field(default_factory=SimClr)
    seed: int = 0

    @abstractmethod
    def poison(self, images: ImageSet) -> Poisoned:
        """The set that the victim trains on.

        Args:
            images: clean ones with labels; left as they are.

        Raises:
            InputError: there are no labels, no images of the target class, or too few for the rate.
        """

    def run(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Attacked:
        """Poison, then pre-train the architecture of `encoder` from fresh weights."""
        poisoned = self.poison(images)
        trained = self.pretraining(encoder, poisoned.images, trainer=trainer)
        return Attacked(encoder=trained, triggers=(self.trigger,), poisoned=poisoned)


def write_poisoned(attack: Attack, poisoned: Poisoned, path: str | Path) -> Path:
    """Put a poisoned set on disk, for a victim that trains elsewhere, with a manifest.

    The manifest is `manifest.json`, for an archive `NAME.manifest.json` beside it. It names the
    attack and its settings (of pictures the shape and the SHA-256), where the images come from, and
    the positions of the poisoned ones with the SHA-256 of their pixels.

    Args:
        attack: what made it.
        poisoned: as `poison` gave it, or the result of the attack.
        path: a file that ends in `.npz`, or a new folder for PNG files.

    Raises:
        InputError: the place cannot be written, or the folder holds something.
        RunError: the disk is full; nothing is left half-written.
    """
    settings = {f.name: getattr(attack, f.name) for f in fields(attack)}
    manifest = {
        "attack": type(attack).__name__,
        "settings": {name: _recorded(value) for name, value in settings.items()},
        "source": poisoned.images.name,
        "images": len(poisoned.images),
        "poisoned": poisoned.positions.tolist(),
        "poisoned_sha256": _sha256(poisoned.images.batch(poisoned.positions)),
    }
    return write_images(poisoned.images, path, manifest=manifest)


def target_positions(images: ImageSet, target: int) -> Tensor:
    """Where the images of the target class are, ascending.

    Raises:
        InputError: the images have no labels, or none of them is of that class.
    """
    if images.labels is None:
        raise InputError(
            f"the images '{images.name}' carry no labels; a poisoning attack has to know which "
            "ones show the target class"
        )
    positions = (images.labels == target).nonzero().squeeze(1)
    if len(positions) == 0:
        known = images.labels.unique().tolist()
        raise InputError(f"no image of '{images.name}' is of class {target}; there are {known}")
    return positions


def other_positions(images: ImageSet, target: int) -> Tensor:
    """Where the images of all other classes are, ascending.

    Raises:
        InputError: the images have no labels, or all of them are of the target class.
    """
    others = torch.ones(len(images), dtype=torch.bool)
    if images.labels is None or (images.labels == target).any():
        others[target_positions(images, target)] = False
    positions = others.nonzero().squeeze(1)
    if len(positions) == 0:
        raise InputError(
            f"all images of '{images.name}' are of class {target}; this attack needs others, too"
        )
    return positions


def check_share(share: float, name: str) -> None:
    """Refuse a share that is not above 0 and at most 1.

    Raises:
        InputError: it is out of range.
    """
    if not 0 < share <= 1:
        raise InputError(f"{name} must be above 0 and at most 1, not {share}")


def planted(count: int, share: float, images: int, *, of: str) -> int:
    """`count` itself, the number of images to plant, unless that is none.

    Args:
        count: what `share` of `images` comes to.
        share: as the user gave it.
        images: of how many.
        of: what they are, for the error.

    Raises:
        InputError: nothing would be planted.
    """
    if count < 1:
        raise InputError(
            f"{share} of {images} {of} comes to 0 images to poison; raise the share or add images"
        )
    return count


def drawn(positions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the positions at random, without replacement, ascending."""
    order = torch.randperm(len(positions), generator=generator)
    return positions[order[:count]].sort().values


def with_replaced(images: ImageSet, positions: Tensor, pixels: Tensor) -> ImageSet:
    """The same images without labels, but with `pixels` in the place of those at `positions`.

    Args:
        images: in memory or streamed.
        positions: int64, shape (n,), no two alike.
        pixels: uint8, shape (n, 3, height, width).
    """
    row_of = torch.full((len(images),), -1, dtype=torch.int64)
    row_of[positions] = torch.arange(len(positions))

    def read(chosen: Sequence[int]) -> Tensor:
        wanted = torch.as_tensor(chosen, dtype=torch.int64)
        batch, rows = images.batch(wanted).clone(), row_of[wanted]
        batch[rows >= 0] = pixels[rows[rows >= 0]]
        return batch

    return replace(images.unlabelled(), read=read, indices=torch.arange(len(images)))


def with_appended(images: ImageSet, pixels: Tensor) -> ImageSet:
    """The same images without labels, and `pixels` behind them.

    Args:
        images: in memory or streamed.
        pixels: uint8, shape (n, 3, height, width) of the images' size.
    """
    count = len(images)

    def read(chosen: Sequence[int]) -> Tensor:
        wanted = torch.as_tensor(chosen, dtype=torch.int64)
        batch = torch.empty(len(wanted), *pixels.shape[1:], dtype=torch.uint8)
        old = wanted < count
        if old.any():
            batch[old] = images.batch(wanted[old])
        batch[~old] = pixels[wanted[~old] - count]
        return batch

    total = torch.arange(count + len(pixels))
    return replace(images.unlabelled(), read=read, indices=total)


def _recorded(value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, Trigger):
        return value.spelling
    if isinstance(value, Tensor):
        return {"shape": list(value.shape), "sha256": _sha256(value)}
    if isinstance(value, Pretraining):
        return {"method": value.name} | asdict(value)
    return value


def _sha256(pixels: Tensor) -> str:
    return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()
