"""What the triggers of the zoo do to encoders that carry no backdoor, and how far these differ.

    python benchmarks/floors.py    results/floors.json

A trigger changes the features of any encoder a little, and whether the changed image falls into the
target class is a matter of chance: it differs from one clean encoder to the next. The attack
success that one clean encoder has is therefore one draw of the floor that a purification is held
against. Here the trigger of each attacked ResNet is put before every clean ResNet of the zoo, and
judged by nearest neighbours as on the zoo's cards (10,000 training and 5,000 test images, nothing
to train). What is there is skipped. Some seconds a pair. Images are read from the folder named by
MIMIC_DATA (default ../shared/data).
"""

import json
import os
from pathlib import Path
from typing import Any

from mimic.benchmark.meter import commit
from mimic.files import write_json
from mimic.training import Trainer
from mimic.zoo import read_zoo
from mimic.zoo.card import Card
from mimic.zoo.members import measure_neighbours, member_trigger, open_member, provenance

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
ZOO, OUT = ROOT / "zoo", ROOT / "results" / "floors.json"


def floor(attacked: Card, clean: Card) -> dict[str, Any]:
    """Rates of a clean encoder on the task that an attack aims at, with its trigger."""
    tasks = {name: task for name, task in attacked.tasks.items() if task.target is not None}
    found = measure_neighbours(
        open_member(clean, ZOO),
        tasks,
        trigger=member_trigger(attacked, ZOO),
        data=DATA,
        trainer=Trainer(),
    )
    return {task: dict(rates) for task, rates in found.items()} | {
        "provenance": provenance() | {"commit": commit()}
    }


def main() -> None:
    """Measure what is missing."""
    cards = [card for card in read_zoo(ZOO).values() if card.architecture.startswith("resnet")]
    clean = [card for card in cards if not card.backdoored]
    rows: dict[str, dict[str, Any]] = json.loads(OUT.read_text()) if OUT.exists() else {}
    for encoder in clean:
        for attacked in (card for card in cards if card.backdoored):
            row = rows.setdefault(attacked.name, {})
            if encoder.name in row:
                continue
            same = known(rows, cards, attacked, encoder.name)
            row[encoder.name] = same or floor(attacked, encoder)
            print(attacked.name, encoder.name, row[encoder.name], flush=True)
            write_json(OUT, rows)


def known(
    rows: dict[str, dict[str, Any]], cards: list[Card], attacked: Card, encoder: str
) -> dict[str, Any] | None:
    """What was measured for another member with the same trigger and target."""
    alike = (
        card for card in cards if (card.trigger, card.tasks) == (attacked.trigger, attacked.tasks)
    )
    found = (rows.get(card.name, {}).get(encoder) for card in alike)
    return next((row for row in found if row is not None), None)


if __name__ == "__main__":
    main()
