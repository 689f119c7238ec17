"""Dry run: what a piece of work would take, from a few real steps of each of its trainings."""

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mimic.benchmark.estimate import Sampler, cost_of
from mimic.benchmark.meter import peak_memory_mib
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating
from mimic.images.imageset import ImageSet
from mimic.training import Trainer, processes
from mimic.training.precision import open_fabric


def rehearse(
    encoder: Encoder, images: ImageSet, work: Callable[[Trainer], object], *, trainer: Trainer
) -> dict[str, Any]:
    """Do a piece of work with a few steps per training, and say what all of it would take.

    What the work does beside its trainings it does in full. Trainings that follow from the result
    of earlier ones may turn out differently in earnest.

    Args:
        encoder: what is trained.
        images: what it is trained on.
        work: does all of it with the trainer that it is given.
        trainer: where it is done; keeps no checkpoints here.

    Returns:
        Plain values: `parameters` of the encoder; `flops_per_image` of one forward pass, a product
        and a sum counting as two; `image_size`; `peak_memory_mib`, measured: of the GPU, or else of
        the whole process; `seconds` in all and `training_seconds` of these; `images_used`, `device`
        and `processes`.
    """
    device = open_fabric(trainer.device, trainer.precision).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    kept = {field.name: getattr(trainer, field.name) for field in fields(Trainer)}
    sampler = Sampler(**kept | {"folder": None, "resume": False})
    started = time.monotonic()
    work(sampler)
    cost = cost_of(sampler, time.monotonic() - started)
    return {
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "flops_per_image": forward_flops(encoder, images.size),
        "image_size": list(images.size),
        "peak_memory_mib": _peak_memory_mib(device),
        "seconds": cost.training + cost.rest,
        "training_seconds": cost.training,
        "images_used": len(images),
        "device": str(device),
        "processes": processes.count(),
    }


@torch.no_grad()
def forward_flops(encoder: Encoder, size: tuple[int, int]) -> int:
    """Floating-point operations of a forward pass of one image, a product and a sum being two.

    Matrix products, convolutions and attention are counted, as by torch's own counter.

    Args:
        encoder: left as it is.
        size: height and width of the image, in pixels.
    """
    image = torch.zeros(1, 3, *size, device=encoder.mean.device)
    with evaluating(encoder), FlopCounterMode(display=False) as counter:
        encoder(image)
    return int(counter.get_total_flops())


def _peak_memory_mib(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_memory_mib()
