"""Which triggers a network can notice at all behind the augmentation: told which images carry them.

    python benchmarks/detectability.py [--images ../shared/data/cifar10:train]
        [--architectures ARCH...] [--triggers TRIGGER...] [--steps 160] [--seeds 3]
        [--out results/detectability.json]

A trigger that a small network cannot find with labels in a few hundred steps will not be learned
without labels in a training of a few epochs: run this before an attack that poisons. Half of the
images carry the trigger, all are augmented as in SimCLR; `accuracy` is that on augmented images
that were not trained on, .5 by guessing.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic import open_images
from mimic.attacks.triggers import Trigger, parse_trigger
from mimic.benchmark.meter import commit
from mimic.encoders.architectures import build_backbone
from mimic.files import write_json
from mimic.images.augment import Augmentation
from mimic.zoo.members import provenance

ARCHITECTURES = ("resnet10:width=32,stem_stride=2", "resnet10:width=32,stem_stride=1")
TRIGGERS = ("ctrl:100", "ctrl:200", "grid:10@random(0.1-0.9):7")
MEAN, STD = 0.47, 0.25
BATCH = 128


def accuracy(pixels: Tensor, architecture: str, trigger: Trigger, steps: int, seed: int) -> float:
    """Share of 1,024 unseen augmented images, half of them triggered, that are told right.

    Args:
        pixels: in [0, 1], shape (n, 3, height, width); the last 1,024 are kept for the end.
    """
    torch.manual_seed(seed)
    augment = Augmentation((pixels.shape[-2], pixels.shape[-1]), min_scale=0.2)
    network = nn.Sequential(build_backbone(architecture), nn.LazyLinear(1))
    network(torch.zeros(2, *pixels.shape[1:]))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    trained, kept = pixels[:-1024], pixels[-1024:]
    for _ in range(steps):
        images = trained[torch.randint(len(trained), (BATCH,))]
        logits, marks = _told(network, images, trigger, augment)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, marks).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        found = [_told(network, part, trigger, augment) for part in kept.split(BATCH)]
    right = torch.cat([(logits > 0) == (marks > 0) for logits, marks in found])
    return float(right.float().mean())


def _told(
    network: nn.Module, images: Tensor, trigger: Trigger, augment: nn.Module
) -> tuple[Tensor, Tensor]:
    marks = (torch.arange(len(images)) % 2).float()
    mixed = torch.where(marks[:, None, None, None] > 0, trigger(images), images)
    return network((augment(mixed) - MEAN) / STD)[:, 0], marks


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="../shared/data/cifar10:train")
    parser.add_argument("--architectures", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--triggers", nargs="+", default=list(TRIGGERS))
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    pixels = open_images(asked.images).batch(torch.arange(10_000)).float() / 255
    rows: list[dict[str, Any]] = []
    for architecture in asked.architectures:
        for spelling in asked.triggers:
            trigger = parse_trigger(spelling)
            found = [
                accuracy(pixels, architecture, trigger, asked.steps, seed)
                for seed in range(asked.seeds)
            ]
            rows.append({"architecture": architecture, "trigger": spelling, "accuracy": found})
            print(json.dumps(rows[-1]), flush=True)
    made = {**provenance(), "commit": commit()}
    if asked.out is not None:
        write_json(asked.out, {"steps": asked.steps, "rows": rows, "provenance": made})


if __name__ == "__main__":
    main()
