"""What is left of an attack where there was none: a student of a clean encoder, and every trigger.

    python benchmarks/clean_student.py [SEED ...]    results/clean_student.json

The default purifies the clean encoder that most attacks of the zoo began with, as if it were
suspicious. Then the trigger of each of these attacks is put before the student, with MLP heads as
in `benchmarks/zoo.toml`. There is no backdoor that could be left, so what a purified encoder shows
beyond this is left of one. About a quarter of an hour a seed (by default 0) on one thread; what is
there is skipped. Images are read from the folder named by MIMIC_DATA (default ../shared/data).
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from purified_pairs import ROOT
from true_triggers import DATA, ZOO, taken_away

from mimic.benchmark.meter import commit
from mimic.benchmark.scenario import clean_origin
from mimic.defenses import Mimic
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.evaluation.heads import fit_mlp
from mimic.evaluation.judging import JudgedFeatures, judge, labels_of
from mimic.files import write_json
from mimic.images.source import open_images
from mimic.seeds import seed_of
from mimic.training import Trainer
from mimic.zoo import read_zoo
from mimic.zoo.card import Card, Task
from mimic.zoo.members import member_trigger, open_member, open_task, provenance

OUT = ROOT / "results" / "clean_student.json"
MEMBER, IMAGES, COUNT = "small-clean", "cifar10:train", 2000


def purified(clean: Encoder, seed: int) -> Encoder:
    """The default's student, made with the images that a benchmark draws by this seed."""
    source = open_images(f"{DATA}/{IMAGES}", size=clean.image_size)
    images = source.sample(count=COUNT, seed=seed_of("defender", seed))
    return Mimic(seed=seed)(clean, images, trainer=Trainer(progress=True)).encoder


def judged(
    student: Encoder, sources: tuple[str, str], aimed: list[tuple[Card, Task]], seed: int
) -> Iterator[dict[str, Any]]:
    """One head for the images of a task, and the success of each attack that aims at it."""
    train, test = (f"{DATA}/{source}" for source in sources)
    known, asked = open_task(train, test, size=student.image_size)
    trainer, labels = Trainer(), labels_of(asked, "test")
    features = extract_features(student, known, trainer=trainer)
    head = fit_mlp(features, labels_of(known, "training"), seed=seed, trainer=trainer)
    for card, task in aimed:
        trigger = member_trigger(card, ZOO)
        seen = JudgedFeatures.of(student, asked, trigger=trigger, trainer=trainer)
        found = judge(head, seen, labels, target=task.target)
        assert found.hits is not None
        yield {
            "member": card.name,
            "seed": seed,
            "accuracy": round(found.accuracy, 4),
            "attack_success_rate": round(found.hits.rate, 4),
            "taken_away": taken_away(student, card),
            "provenance": provenance() | {"commit": commit()},
        }


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("seeds", nargs="*", type=int, default=[0], metavar="SEED")
    zoo = read_zoo(ZOO)
    rows: list[dict[str, Any]] = json.loads(OUT.read_text()) if OUT.exists() else []
    for seed in parser.parse_args().seeds:
        known = {row["member"] for row in rows if row["seed"] == seed}
        missing: dict[tuple[str, str], list[tuple[Card, Task]]] = {}
        for card in zoo.values():
            origin = clean_origin(card, zoo)
            if card.name in known or origin is None or origin.name != MEMBER:
                continue
            (task,) = (task for task in card.tasks.values() if task.target is not None)
            missing.setdefault((task.train, task.test), []).append((card, task))
        if not missing:
            continue
        student = purified(open_member(zoo[MEMBER], ZOO), seed)
        for sources, aimed in missing.items():
            for row in judged(student, sources, aimed, seed):
                print(row, flush=True)
                rows.append(row)
                write_json(OUT, rows)


if __name__ == "__main__":
    main()
