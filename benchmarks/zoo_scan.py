"""What a scan says of each member of the zoo, by the shipped calibration and by references.

    python benchmarks/zoo_scan.py [NAME ...]    results/zoo_scan.json; what is there is skipped

Each member is searched once, with 640 images that it was trained on, and looked at by DECREE.
Verdicts are made anew from the gains each time: after `benchmarks/bank.py calibrate`, name one
member. A clean one that the calibration knows is compared with the others. The references are the
three clean SimCLR encoders, for members of the same architecture and method that are not among
them. Two to four minutes for a member on a thread. Images are read from the folder named by
MIMIC_DATA (default ../shared/data).
"""

import argparse
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from searching import by_decree, complete, searched

from mimic.detection.calibration import Calibration, score_of, shipped_calibration
from mimic.detection.families import FAMILIES
from mimic.encoders.loading import load_encoder
from mimic.files import write_json
from mimic.images.source import open_images
from mimic.training import Trainer
from mimic.zoo import read_zoo

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "results" / "zoo_scan.json"
REFERENCES = ("small-clean", "small-clean-1", "small-clean-2")
OTHER_METHODS = ("byol", "moco", "simsiam", "tokens")
SEED = 3


def looked_at(path: Path, known: dict[str, Any]) -> dict[str, Any]:
    """What is known of one encoder, with what the searches and DECREE find where it is missing."""
    encoder, images = load_encoder(path), open_images(f"{DATA}/cifar10:train")
    found, trainer = dict(known), Trainer(progress=True)
    if not complete(known):
        some = images.sample(count=640, seed=SEED).unlabelled()
        found |= searched(encoder, some, known, seed=SEED, trainer=trainer)
    if "decree" not in known:
        found["decree"] = by_decree(encoder, images, seed=SEED)
    return found


def judged(gains: Mapping[str, float], calibration: Calibration) -> dict[str, Any]:
    """Score, p-value, and the family that is the most unusual."""
    deviations = calibration.deviations(gains)
    score = score_of(deviations)
    return {
        "score": round(score, 2),
        "p_value": round(calibration.p_value(score), 5),
        "family": max(deviations, key=deviations.__getitem__),
    }


@cache
def shipped() -> dict[str, Any]:
    """The file of the calibration that comes with mimic."""
    file = resources.files("mimic.detection").joinpath("calibration.json")
    told: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return told


def shipped_without(name: str) -> Calibration:
    """The calibration that comes with mimic, less this encoder where it is one of them."""
    told = shipped()
    kept = [index for index, known in enumerate(told["encoders"]) if known != name]
    values = {
        family: tuple(found[index] for index in kept) for family, found in told["values"].items()
    }
    return Calibration(kind=told["kind"], values=values)


def held_out() -> dict[str, Any]:
    """Every clean encoder of the shipped calibration, compared with the others."""
    told = shipped()
    gains = {
        name: {family: values[index] for family, values in told["values"].items()}
        for index, name in enumerate(told["encoders"])
    }
    return {name: judged(own, shipped_without(name)) for name, own in gains.items()}


def referenced(rows: Mapping[str, Any]) -> Calibration | None:
    """What the clean SimCLR encoders of the zoo give, once all of them were searched."""
    if not set(REFERENCES) <= set(rows):
        return None
    gains = [rows[name]["gains"] for name in REFERENCES]
    values = {family: tuple(one[family] for one in gains) for family in FAMILIES}
    return Calibration(kind=", ".join(REFERENCES), values=values)


def main() -> None:
    """Search what is asked for, and write all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="members; all of them without any")
    asked = parser.parse_args()
    members = read_zoo(ROOT / "zoo")
    rows: dict[str, Any] = json.loads(OUT.read_text())["members"] if OUT.exists() else {}
    for name in asked.names or members:
        known = rows.get(name, {})
        if not complete(known) or "decree" not in known:
            rows[name] = looked_at(ROOT / "zoo" / f"{name}.safetensors", known)
            print(name, rows[name]["gains"], rows[name]["decree"], flush=True)
            write_json(OUT, {"members": rows})
    near = referenced(rows)
    for name, row in rows.items():
        row["attack"] = members[name].attack
        row["shipped"] = judged(row["gains"], shipped_without(name))
        alike = name not in REFERENCES and not any(method in name for method in OTHER_METHODS)
        row["references"] = judged(row["gains"], near) if near and alike else None
    about = {"shipped": shipped_calibration().description, "references": list(REFERENCES)}
    write_json(OUT, {"calibrations": about, "clean": held_out(), "members": rows})


if __name__ == "__main__":
    main()
