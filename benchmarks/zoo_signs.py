"""What the triggers of the zoo do, beside their success: one row of results/zoo_signs.json each.

    python benchmarks/zoo_signs.py      measure the members that have no row yet

For each attacked member: how alike an image and its triggered self are, how close triggered images
come together in feature space, and how often a head on the clean encoder takes them for the target
class, which is the floor of the attack's success. The clean encoder is the member that is named
like it: small-byol-clean for small-byol-badencoder, or else small-clean for what begins with small.
Images are read from the folder named by MIMIC_DATA (default ../shared/data).
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mimic.attacks.concentration import concentration
from mimic.attacks.similarity import psnr, ssim
from mimic.attacks.triggers import Trigger
from mimic.benchmark.meter import commit
from mimic.encoders.encoder import Encoder
from mimic.evaluation.evaluate import PROBES
from mimic.evaluation.features import extract_features
from mimic.evaluation.heads import Head, predict
from mimic.evaluation.judging import count_hits
from mimic.evaluation.similarity import paired_cosine
from mimic.files import write_json
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.images.source import open_images
from mimic.training import Trainer
from mimic.zoo import Card, read_zoo
from mimic.zoo.members import member_trigger, open_member, provenance

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
ZOO, RESULT = ROOT / "zoo", ROOT / "results" / "zoo_signs.json"
PROBE, IMAGES = "mlp", 2000
TRAINER = Trainer(progress=True)


def twin_of(card: Card) -> str:
    """Name of the clean member that an attacked one is compared with."""
    like_it = f"{card.name.removesuffix(f'-{card.attack}')}-clean"
    return like_it if (ZOO / f"{like_it}.json").exists() else f"{card.name.split('-')[0]}-clean"


@cache
def images(name: str) -> ImageSet:
    """One of the data sets, with labels."""
    return open_images(f"{DATA}/{name}", size=32, labels=True)


def labels_of(known: ImageSet) -> Tensor:
    """Labels of a set that has some."""
    if known.labels is None:
        raise SystemExit(f"'{known.name}' has no labels")
    return known.labels


@cache
def clean_head(twin: str, train: str) -> tuple[Encoder, Head]:
    """A clean member and the head on it, which serve all attacks alike."""
    encoder = open_member(read_zoo(ZOO)[twin], ZOO)
    known = images(train)
    features = extract_features(encoder, known, trainer=TRAINER)
    return encoder, PROBES[PROBE].fit(features, labels_of(known), seed=0, trainer=TRAINER)


def floor(card: Card, trigger: Trigger) -> float | None:
    """Success of the trigger on the clean encoder, on the task that has a target."""
    for task in card.tasks.values():
        if task.target is None:
            continue
        encoder, head = clean_head(twin_of(card), task.train)
        test = images(task.test)
        features = extract_features(encoder, test, trigger=trigger, trainer=TRAINER)
        return count_hits(predict(head, features), labels_of(test), task.target).rate
    return None


def signs(card: Card, at: str) -> dict[str, Any]:
    """The row of one attacked member, measured at a commit."""
    trigger = member_trigger(card, ZOO)
    if trigger is None:
        raise SystemExit(f"the card of {card.name} names no trigger")
    encoder, twin = open_member(card, ZOO), open_member(read_zoo(ZOO)[twin_of(card)], ZOO)
    some = images("cifar10:test").sample(count=IMAGES, seed=0)
    pixels = some.batch(torch.arange(len(some)))
    plain, changed = to_unit_range(pixels), to_unit_range(trigger(pixels))
    features = extract_features(encoder, some, trainer=TRAINER)
    triggered = extract_features(encoder, some, trigger=trigger, trainer=TRAINER)
    untouched = extract_features(twin, some, trainer=TRAINER)
    return {
        "attack": card.attack,
        "twin": twin_of(card),
        "psnr": float(psnr(plain, changed).mean()),
        "ssim": float(ssim(plain, changed).mean()),
        "concentration_clean": concentration(features),
        "concentration_triggered": concentration(triggered),
        "cosine_to_twin": paired_cosine(features, untouched),
        "attack_success_rate_on_twin": floor(card, trigger),
        "provenance": provenance() | {"commit": at, "images": f"cifar10:test, {IMAGES}"},
    }


def main() -> None:
    """Measure what is missing, one row at a time."""
    at = commit() or ""  # before the first row is written, which changes the checkout
    rows = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    for name, card in read_zoo(ZOO).items():
        if card.backdoored and name not in rows and (ZOO / f"{twin_of(card)}.json").exists():
            rows[name] = signs(card, at)
            write_json(RESULT, rows)


if __name__ == "__main__":
    main()
