"""Features of images: an encoder in eval mode, read batch by batch, normalised to unit length."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training.precision import open_fabric
from mimic.training.progress import Progress
from mimic.training.reading import read_batches
from mimic.training.trainer import Trainer

Stamp = Callable[[Tensor], Tensor]
"""Puts a trigger on images: uint8 or floats in [0, 1], (n, 3, height, width), to the same."""

_PROGRESS_FROM_BATCHES = 20


@torch.no_grad()
def extract_features(
    encoder: Encoder,
    images: ImageSet,
    *,
    trigger: Stamp | None = None,
    batch_size: int = 512,
    trainer: Trainer | None = None,
) -> Tensor:
    """Features of all images, each scaled to length 1.

    Memory holds two batches of images and the features. The encoder's modes and device are as
    before afterwards.

    Args:
        encoder: used in eval mode, on the device and in the precision of the trainer.
        images: labels are ignored.
        trigger: stamped on the uint8 pixels before the encoder sees them; None stamps nothing.
        batch_size: images of one forward pass.
        trainer: the environment; None picks the best device of this machine.

    Returns:
        float32 on the CPU, shape (len(images), dimension). A feature of zeros stays zero.

    Raises:
        InputError: there are no images, the batch size is below 1, the trigger changes the shape of
            images, or the encoder puts out NaN or infinity.
    """
    if len(images) == 0:
        raise InputError(f"there are no images in '{images.name}' to take features of")
    if batch_size < 1:
        raise InputError(f"the batch size must be 1 or more, not {batch_size}")
    trainer = trainer or Trainer()
    fabric = open_fabric(trainer.device, trainer.precision)
    chunks = torch.arange(len(images)).split(batch_size)
    shown = trainer.progress and len(chunks) >= _PROGRESS_FROM_BATCHES
    bar = Progress("features", len(chunks), show=shown)
    features: list[Tensor] = []
    try:
        with (
            _inference(encoder, fabric.device),
            closing(read_batches(images, chunks)) as batches,
            fabric.autocast(),
        ):
            for batch in batches:
                stamped = batch if trigger is None else stamp_batch(trigger, batch)
                outputs = encoder(fabric.to_device(stamped)).float()
                features.append(F.normalize(outputs, dim=1).cpu())
                bar.advance()
    finally:
        bar.close()
    return _finite(torch.cat(features))


@contextmanager
def _inference(encoder: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode on `device` for the block; afterwards every module has its mode and place back."""
    modes = {module: module.training for module in encoder.modules()}
    home = next((tensor.device for tensor in encoder.parameters()), device)
    encoder.eval().to(device)
    try:
        yield
    finally:
        encoder.to(home)
        for module, mode in modes.items():
            module.training = mode


def stamp_batch(trigger: Stamp, batch: Tensor) -> Tensor:
    """Images with the trigger on them.

    Raises:
        InputError: the trigger does not fit the images, or changes their shape.
    """
    stamped = trigger(batch)
    if stamped.shape != batch.shape:
        raise InputError(
            f"the trigger turns images of shape {tuple(batch.shape)} into "
            f"{tuple(stamped.shape)}; it has to keep the shape"
        )
    return stamped


def _finite(features: Tensor) -> Tensor:
    broken = int((~features.isfinite().all(dim=1)).sum())
    if broken:
        raise InputError(
            f"the encoder puts out NaN or infinity for {broken} of {len(features)} images; "
            "its weights are damaged, or it needs --precision 32-true"
        )
    return features
