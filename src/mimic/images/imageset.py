"""ImageSet: images that are read by index, in memory or streamed, with or without labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images of one size, handed out as uint8 batches.

    Attributes:
        read: takes a list of indices into the source, gives uint8 RGB (n, 3, height, width).
        indices: which images of the source belong to this set, shape (n,), int64.
        size: height and width in pixels.
        labels: class of each image of this set, shape (n,), int64, or None.
        class_names: names of the classes where the source knows them.
        name: where the images come from, for messages and manifests.
        skipped: files that could not be read, as "name: reason".
        streamed: True if images are decoded when asked for rather than held in memory.
    """

    read: Callable[[Sequence[int]], Tensor]
    indices: Tensor
    size: tuple[int, int]
    name: str = "images"
    labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    streamed: bool = False

    @classmethod
    def from_tensor(
        cls,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        name: str = "images",
        class_names: tuple[str, ...] = (),
        skipped: tuple[str, ...] = (),
    ) -> "ImageSet":
        """A set held in memory.

        Args:
            images: uint8, shape (n, 3, height, width).
            labels: shape (n,) or None.

        Raises:
            InputError: shape or dtype is another one.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise InputError(
                f"images must be uint8 of shape (n, 3, height, width), "
                f"not {images.dtype} of shape {tuple(images.shape)}"
            )
        if labels is not None and labels.shape != images.shape[:1]:
            raise InputError(
                f"{len(images)} images need {len(images)} labels, not {tuple(labels.shape)}"
            )
        return cls(
            read=lambda chosen: images[torch.as_tensor(chosen, dtype=torch.int64)],
            indices=torch.arange(len(images)),
            size=(images.shape[2], images.shape[3]),
            name=name,
            labels=None if labels is None else labels.long(),
            class_names=class_names,
            skipped=skipped,
        )

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, positions: Tensor) -> Tensor:
        """Images at `positions` (0 to len - 1), uint8, shape (positions, 3, height, width)."""
        return self.read(self.indices[positions].tolist())

    def subset(self, positions: Tensor | Sequence[int]) -> "ImageSet":
        """The images at `positions`, in that order, with their labels."""
        chosen = torch.as_tensor(positions, dtype=torch.int64)
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, indices=self.indices[chosen], labels=labels)

    def sample(
        self, *, ratio: float | None = None, count: int | None = None, seed: int = 0
    ) -> "ImageSet":
        """A seeded random subset without replacement.

        Args:
            ratio: share of the images, in (0, 1]; or
            count: number of images, 1 to len. Neither: all of them.

        Raises:
            InputError: both are given, or one is out of range.
        """
        if ratio is not None and count is not None:
            raise InputError("give a ratio or a count of images, not both")
        if ratio is not None:
            if not 0 < ratio <= 1:
                raise InputError(f"the ratio of images must be above 0 and at most 1, not {ratio}")
            count = max(1, round(ratio * len(self)))
        if count is None:
            return self
        if not 1 <= count <= len(self):
            raise InputError(
                f"the count of images must be 1 to {len(self)}, which is what '{self.name}' "
                f"holds, not {count}"
            )
        generator = torch.Generator().manual_seed(seed)
        return self.subset(torch.randperm(len(self), generator=generator)[:count])

    def unlabelled(self) -> "ImageSet":
        """The same images without their labels: what a defender holds."""
        return replace(self, labels=None, class_names=())

    def tensor(self) -> Tensor:
        """All images at once, uint8, shape (n, 3, height, width)."""
        return self.batch(torch.arange(len(self)))
