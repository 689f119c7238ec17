"""How much triggers stand out, to those that are told which images carry them.

    python benchmarks/detectability.py [--images ../shared/data/cifar10:train]
        [--encoder zoo/small-clean.safetensors] [--triggers TRIGGER...]
        [--architectures ARCH...] [--steps 160] [--seeds 3] [--out results/detectability.json]

Run this before an attack that poisons. `on_features` is for a linear head on the features of a
clean encoder, without augmentation: what stands out there is what a training of a few epochs
learns without labels. `rows` are for networks that are trained to tell, on images augmented as in
SimCLR: what they cannot find in a few hundred steps is not learned without labels either, but what
they find need not be; `--architectures` without any leaves them out. Half of the images carry the
trigger, and `accuracy` is that on images that were not trained on, .5 by guessing.
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
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.files import write_json
from mimic.images.augment import Augmentation
from mimic.zoo.members import provenance

ARCHITECTURES = ("resnet10:width=32,stem_stride=2", "resnet10:width=32,stem_stride=1")
TRIGGERS = ("ctrl:100", "ctrl:200", "ctrl:400", "grid:10@random(0.1-0.9):7")
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


def on_features(pixels: Tensor, encoder: Encoder, trigger: Trigger) -> dict[str, float]:
    """Accuracy of a linear head on the features of 2,000 images and of their triggered copies.

    Args:
        pixels: in [0, 1], shape (n, 3, height, width); the last 2,000 are used, a fifth to judge.
    """
    from sklearn.linear_model import LogisticRegression

    images = pixels[-2000:]
    with torch.no_grad():
        plain, triggered = (
            torch.cat([F.normalize(encoder(part), dim=1) for part in shown.split(250)])
            for shown in (images, trigger(images))
        )
    trained, kept = slice(None, 1600), slice(1600, None)
    head = LogisticRegression(C=1000, max_iter=1000)
    head.fit(torch.cat([plain[trained], triggered[trained]]), [0] * 1600 + [1] * 1600)
    judged = head.score(torch.cat([plain[kept], triggered[kept]]), [0] * 400 + [1] * 400)
    cosine = float((plain * triggered).sum(dim=1).mean())
    return {"accuracy": round(float(judged), 4), "cosine": round(cosine, 4)}


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
    parser.add_argument("--encoder", default="zoo/small-clean.safetensors")
    parser.add_argument("--architectures", nargs="*", default=list(ARCHITECTURES))
    parser.add_argument("--triggers", nargs="+", default=list(TRIGGERS))
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    pixels = open_images(asked.images).batch(torch.arange(10_000)).float() / 255
    encoder = load_encoder(asked.encoder).eval()
    features = {one: on_features(pixels, encoder, parse_trigger(one)) for one in asked.triggers}
    print(json.dumps(features), flush=True)
    rows: list[dict[str, Any]] = []
    for architecture in asked.architectures:
        for spelling in asked.triggers:
            trigger = parse_trigger(spelling)
            reached = [
                accuracy(pixels, architecture, trigger, asked.steps, seed)
                for seed in range(asked.seeds)
            ]
            rows.append({"architecture": architecture, "trigger": spelling, "accuracy": reached})
            print(json.dumps(rows[-1]), flush=True)
    made = {**provenance(), "commit": commit()}
    if asked.out is not None:
        told = {"encoder": asked.encoder, "triggers": features}
        found = {"on_features": told, "steps": asked.steps, "rows": rows, "provenance": made}
        write_json(asked.out, found)


if __name__ == "__main__":
    main()
