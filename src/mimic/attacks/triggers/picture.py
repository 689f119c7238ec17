"""Pictures as triggers: pasted opaquely at a place, or blended into the whole image."""

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional as F

from mimic.attacks.reading import read_picture
from mimic.attacks.triggers.placement import Rectangle
from mimic.attacks.triggers.trigger import Trigger, mix
from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Sticker(Rectangle):
    """A picture pasted on the image, opaque and at its own size.

    Attributes:
        path: of the picture.
        row, column: of its top left pixel, counted from 0.

    Raises:
        InputError: the file is missing or no picture, or the place is negative.
    """

    path: str

    def draw(self) -> Tensor:
        """Read the picture."""
        return read_picture(self.path)

    def spell(self, place: str) -> str:
        """`image:FILE@PLACE`."""
        return f"image:{self.path}@{place}"

    def describe_content(self) -> str:
        """The picture and its size."""
        height, width = self.content.shape[1:]
        return f"the picture '{self.path}' of {height}x{width} pixels"


@dataclass(frozen=True, kw_only=True)
class Blend(Trigger):
    """A picture blended into the whole image, resized to it: `(1 - alpha) * x + alpha * picture`.

    Attributes:
        path: of the picture.
        alpha: share of the picture, above 0 and at most 1.
        picture: uint8, shape (3, height, width).

    Raises:
        InputError: the file is missing or no picture, or alpha is out of range.

    Source: Chen et al., "Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning",
        2017, arXiv:1712.05526.
    """

    path: str
    alpha: float
    picture: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise InputError(f"alpha of a blend must be above 0 and at most 1, not {self.alpha}")
        object.__setattr__(self, "picture", read_picture(self.path))

    @property
    def spelling(self) -> str:
        """`blend:FILE@ALPHA`."""
        return f"blend:{self.path}@{self.alpha}"

    def describe(self) -> str:
        """The picture and its share."""
        return f"the picture '{self.path}' blended into the whole image, alpha {self.alpha}"

    def stamp(self, images: Tensor) -> Tensor:
        """Resize the picture (bilinear, antialiased) and blend."""
        picture = self.picture[None].float()
        if picture.shape[2:] != images.shape[2:]:
            picture = F.interpolate(picture, size=images.shape[2:], mode="bilinear", antialias=True)
        return mix(images, scale=1 - self.alpha, offset=self.alpha * picture)
