"""Localisation: how much of an encoder's feature can be read off each of its stages.

The feature z is a deterministic function of every stage, so for continuous inputs I(F_l; z) is
infinite, and noise on z does not help: I(F_l; z + noise) is finite but, z being a function of F_l,
the same for every stage. What does differ is how much of it a critic of a given size finds on
images that it was not trained on: usable information (Xu et al., ICLR 2020, arXiv:2002.10689).
That is what is measured here, without noise, with the same kind of critic and projection and the
same folds for every stage. Read the nats as a score that ranks the stages, not as a property of the
encoder; it grows with the number of images, and InfoNCE stops at log(images / folds).
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.estimate import MutualInformation, estimate
from mimic.information.estimators import get_estimator
from mimic.information.features import collect, device_of, stage_names
from mimic.information.fitting import Fitting
from mimic.information.localization import Localization, StageInformation
from mimic.training import Trainer
from mimic.training.progress import Progress

__all__ = ["Localization", "StageInformation", "localize"]


def localize(
    encoder: Encoder,
    images: ImageSet,
    *,
    estimator: str = "infonce",
    stages: Sequence[str] | None = None,
    seed: int = 0,
    folds: int = 3,
    max_images: int = 2000,
    dimensions: int = 512,
    fitting: Fitting | None = None,
    trainer: Trainer | None = None,
) -> Localization:
    """Estimate the mutual information between each stage's map and the feature, on clean images.

    The encoder sees each image once, un-augmented, in eval mode; maps (batch, channels, height,
    width) or tokens (batch, tokens, dimension) are projected at random as they come.

    Args:
        encoder: what is looked at; left as it is.
        images: clean images; labels are not used.
        estimator: a name of `ESTIMATORS`.
        stages: names of stages; None takes the encoder's own.
        seed: decides the images, projections, folds and critics.
        folds: parts of the images; critics are judged on the part they have not seen.
        max_images: a random sample of this size is used where there are more images.
        dimensions: length that maps and features are projected to.
        fitting: how critics are trained.
        trainer: where the encoder runs and critics are trained.

    Returns:
        Nats, error and weight of each stage. Weights are the shares of max(nats, 0); equal where no
        stage has any.

    Raises:
        InputError: an unknown estimator or stage, too few images, or a setting out of range.
    """
    started = time.monotonic()
    get_estimator(estimator)
    if dimensions < 1:
        raise InputError(f"maps are projected to 1 dimension or more, not {dimensions}")
    trainer = trainer or Trainer()
    images = images.sample(count=min(max_images, len(images)), seed=seed)
    names = stage_names(encoder, images, stages)
    features, maps = collect(
        encoder, images, names, dimensions=dimensions, device=device_of(trainer), seed=seed
    )
    quiet = replace(trainer, progress=False)
    estimates: dict[str, MutualInformation] = {}
    with Progress("localize", len(names), show=trainer.progress) as bar:
        for name in names:
            estimates[name] = estimate(
                maps[name],
                features,
                estimator=estimator,
                folds=folds,
                seed=seed,
                fitting=fitting,
                trainer=quiet,
                name=f"localize-{name}",
            )
            bar.advance()
    return Localization.from_estimates(
        estimates, images=len(images), seconds=time.monotonic() - started
    )
