"""How near the weights of the zoo's encoders are to random ones that a seed draws.

    python benchmarks/same_start.py    results/same-start/weights.json

Cosine between all weights of an encoder, normalisations left out, and those of the same network
with fresh weights: by the seed 0 as it is, which drew the students of earlier measurements, and
as a student draws them now. Seconds.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.benchmark.meter import commit
from mimic.encoders.encoder import Encoder
from mimic.files import write_json
from mimic.seeds import seed_of
from mimic.zoo import read_zoo
from mimic.zoo.members import open_member, provenance

ROOT = Path(__file__).resolve().parent.parent
ZOO, OUT = ROOT / "zoo", ROOT / "results" / "same-start" / "weights.json"


def weights(encoder: Encoder) -> Tensor:
    """Those of convolutions and linear layers, in a row."""
    return torch.cat([w.detach().flatten() for w in encoder.backbone.parameters() if w.ndim > 1])


def cosine(encoder: Encoder, seed: int) -> float:
    """Between the weights of an encoder and those that a seed draws."""
    fresh = weights(encoder.reinitialized(seed))
    return round(float(F.cosine_similarity(weights(encoder), fresh, dim=0)), 3)


def main() -> None:
    """Measure all members."""
    rows = {}
    for card in read_zoo(ZOO).values():
        encoder = open_member(card, ZOO)
        now = seed_of("student", 0)
        rows[card.name] = {"seed 0": cosine(encoder, 0), "student of seed 0": cosine(encoder, now)}
        print(card.name, rows[card.name])
    write_json(OUT, {"members": rows, "provenance": provenance() | {"commit": commit()}})


if __name__ == "__main__":
    main()
