"""Tagged: images that are handed to a training together with a value for each."""

from dataclasses import dataclass

from torch import Tensor

from mimic.images.imageset import ImageSet


@dataclass(frozen=True)
class Tagged:
    """Images, and something that is known of each of them.

    Attributes:
        images: what is read.
        tags: one value per image, shape (len(images),).
    """

    images: ImageSet
    tags: Tensor

    @property
    def streamed(self) -> bool:
        """Whether a batch takes long to make."""
        return self.images.streamed

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 (positions, 3, height, width) and their tags (positions,)."""
        return self.images.batch(positions), self.tags[positions]
