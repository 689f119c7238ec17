"""What the searches of a scan find in one encoder, in full, so that a gain can be defined anew.

`benchmarks/bank.py` and `benchmarks/zoo_scan.py` keep this of every encoder.
"""

import time
from typing import Any

import torch

from mimic.benchmark.meter import commit
from mimic.detection.families import FAMILIES, Doors
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.zoo.members import provenance

QUANTILES = torch.linspace(0, 1, 21)
"""Which quantiles of what random triggers take away are kept."""


def searched(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> dict[str, Any]:
    """Gains of all families, and what is behind them."""
    started = time.monotonic()
    found = {
        name: search(encoder, images, seed=seed, trainer=trainer)
        for name, search in FAMILIES.items()
    }
    return {
        "gains": {name: round(doors.gain, 4) for name, doors in found.items()},
        "searches": {name: _facts(doors) for name, doors in found.items()},
        "seconds": round(time.monotonic() - started),
        "provenance": {**provenance(), "commit": commit()},
    }


def _facts(doors: Doors) -> dict[str, Any]:
    natural = torch.tensor(doors.natural).quantile(QUANTILES)
    return {
        "description": doors.description,
        "forgotten": [round(share, 4) for share in doors.forgotten],
        "natural_quantiles": [round(share, 4) for share in natural.tolist()],
    }
