"""What the trigger of an attack takes away, before a purification, after it and on a clean encoder.

    python benchmarks/true_triggers.py FOLDER ...    results/true_triggers.json

Each FOLDER is one that `mimic bench` wrote, with its encoders kept. An attack success rate depends
on where triggered images fall, into the target class or elsewhere, which is chance where the door
is closed. This asks instead how much of what tells images apart is still in the features under the
trigger: 1 minus the slope of the regression of the features with the trigger on those without, as
the searches measure it, on 2,000 test images of CIFAR-10. An evaluation, not something that a
defender can do: they do not know the trigger. What is there is skipped. Some seconds an encoder.
Images are read from the folder named by MIMIC_DATA (default ../shared/data).
"""

import argparse
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from purified_pairs import ROOT, kept

from mimic.benchmark.cards import ResultCard
from mimic.benchmark.meter import commit
from mimic.benchmark.scenario import clean_origin
from mimic.detection.gathering import forgetting
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.files import sha256, write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.training import Trainer
from mimic.zoo import read_zoo
from mimic.zoo.card import Card
from mimic.zoo.members import member_trigger, open_member, provenance

DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
ZOO, OUT = ROOT / "zoo", ROOT / "results" / "true_triggers.json"
IMAGES = 2000


@cache
def images(size: int | None) -> ImageSet:
    """Test images, none of which a defence has seen."""
    return open_images(f"{DATA}/cifar10:test", size=size).sample(count=IMAGES, seed=0).unlabelled()


def taken_away(encoder: Encoder, attacked: Card) -> float:
    """By the trigger of a member of the zoo, from any encoder; at most 1."""
    trigger = member_trigger(attacked, ZOO)
    if trigger is None:
        raise ValueError(f"'{attacked.name}' has no trigger")
    some = images(encoder.image_size)
    return round(float(forgetting(encoder, some, [trigger], trainer=Trainer())), 4)


def row(attacked: Card, result: ResultCard, after: Path, zoo: dict[str, Card]) -> dict[str, Any]:
    """The three numbers; none of a clean encoder that is not known."""
    clean = clean_origin(attacked, zoo)
    return {
        "member": attacked.name,
        "label": result.label,
        "seed": result.seed,
        "after_sha256": sha256(after),
        "before": taken_away(open_member(attacked, ZOO), attacked),
        "after": taken_away(load_encoder(after), attacked),
        "clean": None if clean is None else taken_away(open_member(clean, ZOO), attacked),
        "provenance": provenance() | {"commit": commit()},
    }


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    zoo = read_zoo(ZOO)
    members = {card.sha256: card for card in zoo.values()}
    rows: list[dict[str, Any]] = json.loads(OUT.read_text()) if OUT.exists() else []
    for folder in parser.parse_args().folders:
        for result, after in kept(folder):
            attacked = members.get(result.encoder_sha256)
            if attacked is None or attacked.attack is None:
                continue
            if sha256(after) in {known["after_sha256"] for known in rows}:
                continue
            rows.append(row(attacked, result, after, zoo))
            print({key: rows[-1][key] for key in ("member", "before", "after", "clean")})
            write_json(OUT, rows)


if __name__ == "__main__":
    main()
