"""What old triggers still do to encoders that were purified in different ways, beside their ASR.

    python benchmarks/old_door.py

Triggers are found on zoo/small-badencoder with unlabelled training images of CIFAR-10 and tried on
every encoder that `benchmarks/reference.py` has left in runs/. Writes results/old_door.json. Images
are read from the folder named by MIMIC_DATA (default ../shared/data).
"""

import json
import os
from pathlib import Path

from mimic.benchmark.meter import commit
from mimic.detection.families import FAMILIES
from mimic.encoders.loading import load_encoder
from mimic.files import write_json
from mimic.images.source import open_images
from mimic.training import Trainer
from mimic.verification.doors import measure_old_door
from mimic.zoo.members import provenance

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
SEED, SEARCHED, JUDGES = 0, 640, 256


def _rate(card: Path, kind: str) -> float | None:
    """The attack success rate on GTSRB, as the card of a run has it."""
    if not card.exists():
        return None
    rate: float | None = json.loads(card.read_text())[kind]["gtsrb"]["attack_success_rate"]
    return rate


def main() -> None:
    """Search once, try everywhere."""
    trainer = Trainer(device="cpu")
    images = open_images(f"{DATA}/cifar10:train").sample(count=SEARCHED + JUDGES, seed=SEED)
    searched, judges = images.subset(range(SEARCHED)), images.subset(range(SEARCHED, len(images)))
    suspect = load_encoder(ROOT / "zoo" / "small-badencoder.safetensors")
    found = [search(suspect, searched, seed=SEED, trainer=trainer) for search in FAMILIES.values()]
    files = {"clean": ROOT / "zoo" / "small-clean.safetensors"} | {
        path.parent.name: path for path in sorted(ROOT.glob("runs/*-seed*/purified.safetensors"))
    }
    rows = []
    for name, file in files.items():
        after = load_encoder(file)
        doors = [measure_old_door(suspect, after, d, judges, trainer=trainer) for d in found]
        card = ROOT / "results" / "small-badencoder" / f"{name}.json"
        rows.append(
            {
                "encoder": name,
                "doors": [door.as_dict() for door in doors],
                "attack_success_rate": _rate(card, "results"),
                "attack_success_rate_of_old_head": _rate(card, "old_head"),
            }
        )
        print(name, {door.family: round(door.residue, 3) for door in doors}, flush=True)
    settings = {"seed": SEED, "images_searched": SEARCHED, "images_judged": JUDGES}
    made = {"command": "python benchmarks/old_door.py", "commit": commit()} | provenance()
    write_json(ROOT / "results" / "old_door.json", made | settings | {"encoders": rows})


if __name__ == "__main__":
    main()
