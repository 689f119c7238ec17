"""What a scan finds in one encoder, in full, to define gains anew, and what DECREE finds.

`benchmarks/bank.py` and `benchmarks/zoo_scan.py` keep this of every encoder.
"""

import time
from typing import Any

import torch

from mimic.benchmark.meter import commit
from mimic.detection.decree import decree
from mimic.detection.doors import Doors
from mimic.detection.families import FAMILIES
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.zoo.members import provenance

QUANTILES = torch.linspace(0, 1, 21)
"""Which quantiles of what random triggers take away are kept."""
DECREE_IMAGES = 1000


def searched(
    encoder: Encoder, images: ImageSet, known: dict[str, Any], *, seed: int, trainer: Trainer
) -> dict[str, Any]:
    """Gains of all families, and what is behind them; families that are known already are kept."""
    started = time.monotonic()
    found = {
        name: search(encoder, images, seed=seed, trainer=trainer)
        for name, search in FAMILIES.items()
        if name not in known.get("gains", {})
    }
    gains = known.get("gains", {}) | {name: round(one.gain, 4) for name, one in found.items()}
    searches = known.get("searches", {}) | {name: _facts(one) for name, one in found.items()}
    return {
        "gains": {name: gains[name] for name in FAMILIES},
        "searches": {name: searches[name] for name in FAMILIES},
        "seconds": known.get("seconds", 0) + round(time.monotonic() - started),
        "provenance": {**provenance(), "commit": commit()},
    }


def by_decree(encoder: Encoder, images: ImageSet, *, seed: int) -> dict[str, Any]:
    """What DECREE says of an encoder, by as many images as it was published with for CIFAR-10."""
    some = images.sample(count=min(DECREE_IMAGES, len(images)), seed=seed).unlabelled()
    return decree(encoder, some, seed=seed, trainer=Trainer(progress=False)).as_dict()


def complete(row: dict[str, Any]) -> bool:
    """Whether all families were searched."""
    return set(FAMILIES) <= set(row.get("gains", {}))


def _facts(doors: Doors) -> dict[str, Any]:
    natural = torch.tensor(doors.natural).quantile(QUANTILES)
    return {
        "description": doors.description,
        "forgotten": [round(share, 4) for share in doors.forgotten],
        "natural_quantiles": [round(share, 4) for share in natural.tolist()],
    }
