"""Cast: who appears in the demo, once its trainings are done."""

from dataclasses import dataclass

from torch import Tensor

from mimic.defenses import Purification
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Who appears: the images, the attacker's reference and the four encoders.

    Attributes:
        train: labelled; attacker and evaluation know all of it.
        test: labelled, without the reference.
        few: what the defender holds; no labels.
        reference: the attacker's picture of the target class, uint8, shape (1, 3, height, width).
        clean, suspicious, scratch: encoders.
        purification: the purified encoder, and how it came about.
    """

    train: ImageSet
    test: ImageSet
    few: ImageSet
    reference: Tensor
    clean: Encoder
    suspicious: Encoder
    purification: Purification
    scratch: Encoder

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The four encoders by name, in the order in which they are shown."""
        return {
            "clean": self.clean,
            "suspicious": self.suspicious,
            "purified": self.purification.encoder,
            "scratch": self.scratch,
        }
