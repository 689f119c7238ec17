"""Pooled relations: which images a stage finds alike, whatever its maps are made of.

Maps of different architectures differ in channels and in resolution, and some are tokens. Averaged
over positions each is one vector per image, and cosines between images need no equal length.
"""

from torch import Tensor

from mimic.losses.gram import gram_loss
from mimic.losses.maps import as_map


def pooled_relation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the cosines between images, after a mean over positions.

    Args:
        student: map (batch, channels, height, width) or tokens (batch, tokens, dimension).
        teacher: of the same images; channels, resolution and kind may differ.

    Returns:
        A scalar in [0, 4]; it ignores the scale of either side, any rotation of the channels, and
        the order of positions.

    Raises:
        InputError: an output is neither a map nor tokens.

    Source: as `gram_loss`; the mean over positions is ours.
    """
    own, wanted = (as_map(outputs).float().mean(dim=(2, 3)) for outputs in (student, teacher))
    return gram_loss(own, wanted)
