"""How far the rates of one encoder differ from head to head: same features, other seeds.

    python benchmarks/head_spread.py [NAME ...]    results/head_spread.json

What is there is skipped. The first task of each member with the MLP head of the cards, seeds 0 to
4, features in float32. The interval of a card covers the choice of test images only. Some minutes a
member on a thread. Images are read from the folder named by MIMIC_DATA (default ../shared/data).
"""

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from mimic.benchmark.meter import commit
from mimic.evaluation import evaluate
from mimic.files import write_json
from mimic.training import Trainer
from mimic.zoo import read_zoo
from mimic.zoo.card import Card
from mimic.zoo.members import aim, member_trigger, open_member, open_task, provenance

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
ZOO, OUT = ROOT / "zoo", ROOT / "results" / "head_spread.json"
HEADS, RATES = 5, ("accuracy", "attack_success_rate")
MEMBERS = ("small-clean", "small-badencoder", "small-inactive")


def measured(card: Card) -> dict[str, Any]:
    """Rates by each head, and what the card expects."""
    encoder, trainer = open_member(card, ZOO), Trainer(precision="32-true")
    name, task = next(iter(card.tasks.items()))
    train, test = open_task(f"{DATA}/{task.train}", f"{DATA}/{task.test}", size=encoder.image_size)
    aimed = aim(member_trigger(card, ZOO), task)
    found = evaluate(encoder, train, test, **aimed, heads=HEADS, trainer=trainer)
    rates = {rate: [getattr(one, rate) for one in found.heads] for rate in RATES}
    return {
        "task": name,
        "expected": {rate: card.expected[name][rate] for rate in RATES},
        **{rate: [round(value, 4) for value in values] for rate, values in rates.items()},
        "deviation": {rate: round(statistics.stdev(values), 4) for rate, values in rates.items()},
        "provenance": {**provenance(), "commit": commit()},
    }


def main() -> None:
    """Measure what is asked for and missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"members; by default {', '.join(MEMBERS)}")
    asked = parser.parse_args()
    cards = read_zoo(ZOO)
    rows: dict[str, Any] = json.loads(OUT.read_text())["members"] if OUT.exists() else {}
    for name in asked.names or MEMBERS:
        if name not in rows:
            rows[name] = measured(cards[name])
            print(name, rows[name]["deviation"], flush=True)
            write_json(OUT, {"members": rows})


if __name__ == "__main__":
    main()
