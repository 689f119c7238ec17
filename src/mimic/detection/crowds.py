"""Crowds: images that an encoder can hardly tell apart, of which a few are enough.

A defender's images may carry the trigger themselves. A student that sees enough of them learns the
backdoor from them, since the teacher answers to each. But under most triggers the teacher answers
to all of them alike, so they form a crowd, as the frames of a film do. Of a crowd a few images tell
a student all that there is to learn from it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

ALIKE = 0.95
"""Cosine of centred features from which on images are of one crowd."""
CROWD = 4
"""So many of a crowd are kept."""
FEWEST_IMAGES, MOST_IMAGES = 100, 20_000
"""Smaller sets can spare nothing; in larger ones too many images would have to be compared."""


def uncrowded(
    encoder: Encoder, images: ImageSet, *, seed: int = 0, trainer: Trainer | None = None
) -> Tensor:
    """Positions of the images that stay when crowds are thinned out.

    Images are looked at in random order. One stays if fewer than `CROWD` of those that stay so far
    are `ALIKE` it.

    Args:
        encoder: the suspicious one; left as it is.
        images: as they are given.
        seed: of the order.
        trainer: the environment; None picks the best device of this machine.

    Returns:
        Positions in ascending order, int64; all of them where there are fewer than 100 images or
        more than 20,000, or where most would have to go: then it is the images, as in films.
    """
    count = len(images)
    if not FEWEST_IMAGES <= count <= MOST_IMAGES:
        return torch.arange(count)
    features = F.normalize(extract_features(encoder, images, trainer=trainer).float(), dim=1)
    features = F.normalize(features - features.mean(dim=0), dim=1)
    kept = torch.empty_like(features)
    positions: list[int] = []
    for position in torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist():
        alike = kept[: len(positions)] @ features[position] >= ALIKE
        if int(alike.sum()) < CROWD:
            kept[len(positions)] = features[position]
            positions.append(position)
    if 2 * len(positions) < count:
        return torch.arange(count)
    return torch.tensor(sorted(positions), dtype=torch.int64)
