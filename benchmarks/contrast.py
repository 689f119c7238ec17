"""Which images the trigger of `small-frequency` leads to its target class, by their contrast.

    python benchmarks/contrast.py FOLDER ...    results/contrast.json

Each FOLDER is one that `mimic bench` wrote, with its encoders kept. The trigger adds waves of one
size to every image. Where an image has little contrast of its own, as many traffic signs in the
dark do, the waves outweigh what it shows, and most encoders answer to them. The test images of
GTSRB are split into fifths by the standard deviation of their pixels; of each fifth it is told how
often the trigger leads to the target class, and how often it changes the predicted class, on the
attacked encoder, on the clean one and on purified ones. Linear heads, fitted to 15,000 training
images. An evaluation, not something that a defender can do. What is there is skipped. A minute an
encoder.
Images are read from the folder named by MIMIC_DATA (default ../shared/data).
"""

import argparse
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from purified_pairs import ROOT, kept

from mimic.benchmark.meter import commit
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.evaluation.features import extract_features
from mimic.evaluation.heads import fit_linear, predict
from mimic.files import sha256, write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.training import Trainer
from mimic.zoo import read_zoo
from mimic.zoo.card import Card
from mimic.zoo.members import member_trigger, open_member, provenance

DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
ZOO, OUT = ROOT / "zoo", ROOT / "results" / "contrast.json"
ATTACKED, CLEAN, TASK = "small-frequency", "small-clean", "gtsrb"
TRAINED_ON, PARTS = 15_000, 5


@cache
def images(split: str, count: int | None = None) -> ImageSet:
    """Of the task that the attack aims at, with labels."""
    found = open_images(f"{DATA}/{TASK}:{split}", size=32, labels=True)
    return found if count is None else found.sample(count=count, seed=0)


def row(name: str, encoder: Encoder, file: Path, attacked: Card) -> dict[str, Any]:
    """What the trigger does to each fifth of the images of other classes."""
    trainer = Trainer()
    trigger, target = member_trigger(attacked, ZOO), attacked.tasks[TASK].target
    train, test = images("train", TRAINED_ON), images("test")
    assert train.labels is not None
    assert test.labels is not None
    assert target is not None
    head = fit_linear(extract_features(encoder, train, trainer=trainer), train.labels)
    plain = predict(head, extract_features(encoder, test, trainer=trainer))
    led = predict(head, extract_features(encoder, test, trigger=trigger, trainer=trainer))
    others = test.labels != target
    contrast = test.tensor().float().div(255).flatten(1).std(dim=1)[others]
    led, plain = led[others], plain[others]
    return {
        "encoder": name,
        "sha256": sha256(file),
        "attack_success_rate": float((led == target).float().mean()),
        "fifths": [
            {
                "contrast": [float(contrast[part].min()), float(contrast[part].max())],
                "attack_success_rate": float((led[part] == target).float().mean()),
                "class_changed": float((led[part] != plain[part]).float().mean()),
            }
            for part in contrast.argsort().tensor_split(PARTS)
        ],
        "provenance": provenance() | {"commit": commit()},
    }


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    zoo = read_zoo(ZOO)
    named = {name: ZOO / f"{name}.safetensors" for name in (ATTACKED, CLEAN)}
    for folder in parser.parse_args().folders:
        for card, file in kept(folder):
            if card.encoder_sha256 == zoo[ATTACKED].sha256:
                named[f"{folder.name}/{card.label}, seed {card.seed}"] = file
    rows: list[dict[str, Any]] = json.loads(OUT.read_text()) if OUT.exists() else []
    for name, file in named.items():
        if sha256(file) in {known["sha256"] for known in rows}:
            continue
        encoder = open_member(zoo[name], ZOO) if name in zoo else load_encoder(file)
        rows.append(row(name, encoder, file, zoo[ATTACKED]))
        print(name, rows[-1]["attack_success_rate"], flush=True)
        write_json(OUT, rows)


if __name__ == "__main__":
    main()
