"""Features and stage maps of images, computed once, batch by batch, in bounded memory.

A flattened stage map has up to a million entries, so it is reduced as it streams, by a random
projection rather than by pooling: it treats maps and tokens alike and assumes nothing about where
in the map the information lies. The projection is a balanced count sketch (each entry gets a random
sign and is added to one of the outputs): like a Gaussian one it keeps inner products in
expectation, yet it costs one addition per entry and holds no matrix.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer, mix_seed
from mimic.training.precision import open_fabric


class RandomProjection:
    """A seeded linear map of flattened maps to few dimensions; the identity where there are few.

    Args:
        inputs: length of a flattened map.
        outputs: length of the result.
        seed: decides signs and groups.
    """

    def __init__(self, inputs: int, outputs: int, *, seed: int) -> None:
        self.outputs = min(inputs, outputs)
        self.reduces = inputs > outputs
        if self.reduces:
            generator = torch.Generator().manual_seed(seed)
            self.order = torch.randperm(inputs, generator=generator)
            self.signs = torch.randint(0, 2, (inputs,), generator=generator) * 2.0 - 1.0

    def __call__(self, maps: Tensor) -> Tensor:
        """Maps (batch, ...) to float32 vectors (batch, outputs)."""
        flat = maps.flatten(1).float()
        if not self.reduces:
            return flat
        shuffled = (flat * self.signs.to(flat.device))[:, self.order.to(flat.device)]
        padding = -shuffled.shape[1] % self.outputs
        return F.pad(shuffled, (0, padding)).view(len(flat), self.outputs, -1).sum(dim=2)


@torch.no_grad()
def collect(
    encoder: Encoder,
    images: ImageSet,
    stages: Sequence[str],
    *,
    dimensions: int | None,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    batch_size: int = 64,
    seed: int = 0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Normalised features and reduced stage maps of all images, un-augmented, in one pass.

    A copy of the encoder runs in eval mode; the encoder itself is left as it is.

    Args:
        encoder: what is looked at.
        images: what it looks at.
        stages: names of stages.
        dimensions: length that features and flattened maps are projected to; None keeps them whole.
        device: where the encoder runs.
        dtype: of what is returned.
        batch_size: images of a forward pass.
        seed: of the projections.

    Returns:
        Features of unit length (n, d) and per stage vectors (n, d'), on the CPU.

    Raises:
        InputError: a stage puts out something else than one tensor per batch.
    """
    model = encoder.copy().to(device).eval()
    projections: dict[str, RandomProjection] = {}
    found: dict[str, list[Tensor]] = {name: [] for name in ("", *stages)}
    for positions in torch.arange(len(images)).split(batch_size):
        features, maps = model.forward_stages(images.batch(positions).to(device), stages)
        outputs = {"": F.normalize(features, dim=1)} | maps
        for index, (name, output) in enumerate(outputs.items()):
            if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != len(positions):
                raise InputError(
                    f"stage '{name}' does not put out one map per image; choose other stages"
                )
            if name not in projections:
                inputs = output[0].numel()
                projections[name] = RandomProjection(
                    inputs, dimensions or inputs, seed=mix_seed(seed, index)
                )
            found[name].append(projections[name](output).to("cpu", dtype))
    joined = {name: torch.cat(parts) for name, parts in found.items()}
    return joined.pop(""), joined


def stage_names(encoder: Encoder, images: ImageSet, stages: Sequence[str] | None) -> list[str]:
    """The stages asked for, or those that the encoder has; the encoder is left as it is.

    Raises:
        InputError: an empty list was asked for.
    """
    if stages is None:
        return list(encoder.copy().stage_names(images.batch(torch.tensor([0]))))
    if not stages:
        raise InputError("name at least one stage, or leave stages out to have them found")
    return list(stages)


def device_of(trainer: Trainer) -> torch.device:
    """The device that a trainer's trainings run on.

    Raises:
        InputError: the device is unknown or not in this machine.
    """
    return open_fabric(trainer.device, "32-true").device
