"""The main job as one call: a suspicious encoder and clean images in, a purified encoder out."""

import copy
from difflib import get_close_matches

from torch import nn

from mimic.defenses import DEFENSES, INAPPLICABLE, Defense, Purification
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer


def purify(
    encoder: Encoder | nn.Module,
    images: ImageSet,
    *,
    method: str | Defense = "mimic",
    epochs: int | None = None,
    seed: int | None = None,
    trainer: Trainer | None = None,
) -> Purification:
    """Purify an encoder that may carry a backdoor.

    Args:
        encoder: the suspicious encoder; left as it is. A plain module is taken to expect images in
            [0, 1]; wrap it with `load_encoder(module, mean=..., std=...)` otherwise.
        images: clean, unlabelled images: a few hundred to a few thousand.
        method: a name of `mimic.defenses.DEFENSES`, or a defence with settings of one's own.
        epochs: passes over the images; None takes the method's default.
        seed: decides everything random; None takes the method's.
        trainer: where and how to train; by default the best device, with a progress bar.

    Returns:
        The purified encoder, in eval mode on the CPU, and how it came about. Nothing is verified:
        `mimic.verify(encoder, result.encoder, images)` decides whether it worked.

    Raises:
        InputError: the method is unknown, or the images do not fit the encoder.
        RunError: the training failed.
    """
    defense = find_defense(method).with_settings(epochs=epochs, seed=seed)
    suspect = encoder if isinstance(encoder, Encoder) else load_encoder(copy.deepcopy(encoder))
    return defense(suspect, images, trainer=trainer or Trainer(progress=True))


def find_defense(method: str | Defense) -> Defense:
    """The defence of that name.

    Raises:
        InputError: there is none, or it cannot work on a finished encoder.
    """
    if isinstance(method, Defense):
        return method
    if method in DEFENSES:
        return DEFENSES[method]
    if method in INAPPLICABLE:
        raise InputError(f"method '{method}' does not apply: {INAPPLICABLE[method]}")
    near = get_close_matches(method, DEFENSES, n=1)
    meant = f"did you mean '{near[0]}'? " if near else ""
    raise InputError(f"method '{method}' is unknown; {meant}'mimic list defenses' names them all")
