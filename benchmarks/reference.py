"""The reference scenario on real images: make its encoders, purify, write one card per run.

    python benchmarks/reference.py zoo                     the clean and the attacked encoder
    python benchmarks/reference.py run mimic --seed 0      one purification, one card
    python benchmarks/reference.py train VARIANT --seed 0  the same without the card
    python benchmarks/reference.py all [--seeds 0 1 2]     every run that has no card yet
    python benchmarks/reference.py complete                measurements that a card lacks

Runs are resumable: a finished one is its card, an interrupted one goes on from its checkpoint.
Images are read from the folder named by MIMIC_DATA (default ../shared/data): cifar10 and gtsrb in
the Hugging Face Parquet layout, and BadEncoder's reference picture in badencoder/.
"""

import argparse
import json
import os
import resource
import shutil
import time
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from mimic.attacks.badencoder import BadEncoder
from mimic.attacks.references import load_references
from mimic.attacks.triggers import Trigger, parse_trigger
from mimic.benchmark.meter import commit
from mimic.defenses import Defense, FineTune, FromScratch, Mimic, Nothing, PublishedMimic
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.evaluation.features import extract_features
from mimic.evaluation.similarity import paired_cosine
from mimic.files import sha256, write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.pretraining.simclr import SimClr
from mimic.seeds import seed_of
from mimic.training import Trainer
from mimic.zoo import Card, Task
from mimic.zoo.members import measure as judge
from mimic.zoo.members import provenance as machine

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
ZOO, RESULTS, RUNS = ROOT / "zoo", ROOT / "results" / "small-badencoder", ROOT / "runs"
SUSPECT = ZOO / "small-badencoder.safetensors"

ARCHITECTURE = "resnet10:width=32,stem_stride=2"
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
TRIGGER, TARGET = "patch:10@21,21:white", 12
TASKS = {
    "gtsrb": Task(train="gtsrb:train", test="gtsrb:test", target=TARGET),
    "cifar10": Task(train="cifar10:train", test="cifar10:test"),
}
CLEAN_IMAGES = 2000
EPOCHS, OUR_EPOCHS = 200, 100
"""Of the methods compared with ours, and of ours, which so never has the larger budget."""

NOTHING_FOUND = Mimic(epochs=OUR_EPOCHS, searched_share=0.0, recoloured_share=0.0, waved_share=0.0)

VARIANTS: dict[str, Defense] = {
    "mimic": Mimic(epochs=OUR_EPOCHS),
    "mimic-uniform": Mimic(epochs=OUR_EPOCHS, weighting="uniform"),
    "mimic-no-colours": Mimic(epochs=OUR_EPOCHS, recoloured_share=0.0),
    "mimic-fixed-shares": Mimic(epochs=OUR_EPOCHS, sharing="fixed"),
    "mimic-no-waves": Mimic(epochs=OUR_EPOCHS, waved_share=0.0),
    "mimic-no-search": replace(NOTHING_FOUND, random_share=0.5),
    "mimic-no-change": replace(NOTHING_FOUND, random_share=0.0),
    "clone-only": replace(NOTHING_FOUND, random_share=0.0, stage_weight=0.0),
    "mimic-published": PublishedMimic(epochs=EPOCHS, measured_on="student"),
    "mimic-described": PublishedMimic(epochs=EPOCHS, measured_on="teacher"),
    "scratch": FromScratch(epochs=EPOCHS),
    "finetune": FineTune(epochs=EPOCHS),
    "nothing": Nothing(),
}


@cache
def images(name: str, *, labels: bool = True) -> ImageSet:
    """One of the data sets, `cifar10:train` for example."""
    return open_images(f"{DATA}/{name}", labels=labels)


def make_zoo(trainer: Trainer) -> None:
    """Pre-train and attack; write both encoders in half precision, each with its card."""
    clean_file, bad_file = ZOO / "small-clean.safetensors", SUSPECT
    cifar = images("cifar10:train")
    pretraining = SimClr(epochs=40)
    if not clean_file.exists():
        backbone = build_backbone(ARCHITECTURE)
        fresh = load_encoder(backbone, arch=ARCHITECTURE, mean=MEAN, std=STD, image_size=32)
        save_encoder(pretraining(fresh, cifar.unlabelled(), trainer=trainer), clean_file, half=True)
    recipe = {"pretraining": {"method": "simclr", "images": "cifar10:train"} | asdict(pretraining)}
    write_card(clean_file, recipe, trainer)
    attack = BadEncoder(
        references=load_references(f"{DATA}/badencoder/reference_priority.npz", size=(32, 32)),
        trigger=parse_trigger(TRIGGER),
        epochs=15,
        learning_rate=0.05,
    )
    if not bad_file.exists():
        shadow = cifar.sample(count=10_000, seed=0).unlabelled()
        attacked = attack(load_encoder(clean_file), shadow, trainer=trainer).encoder
        save_encoder(attacked, bad_file, half=True)
    settings = {
        name: getattr(attack, name)
        for name in ("epochs", "learning_rate", "batch_size", "momentum", "weight_decay", "seed")
    }
    recipe["attack"] = settings | {
        "method": "badencoder",
        "encoder": clean_file.name,
        "images": "cifar10:train, 10000 of them, seed 0",
        "reference": "reference_priority.npz",
    }
    write_card(bad_file, recipe, trainer)


def write_card(file: Path, recipe: dict[str, Any], trainer: Trainer) -> None:
    """Measure a zoo member and write its card, unless it has one."""
    card = file.with_suffix(".json")
    if card.exists():
        return
    complete = Card(
        name=file.stem,
        sha256=sha256(file),
        architecture=ARCHITECTURE,
        backdoored="attack" in recipe,
        attack="badencoder" if "attack" in recipe else None,
        trigger=TRIGGER,
        tasks=TASKS,
        expected=measure(load_encoder(file), trainer),
        recipe=recipe,
        provenance=provenance(),
    )
    write_json(card, complete.as_dict())


def measure(encoder: Encoder, trainer: Trainer) -> dict[str, Any]:
    """Accuracy and attack success rate on GTSRB, accuracy on CIFAR-10, with the MLP head."""
    trigger = parse_trigger(TRIGGER)
    found = judge(encoder, TASKS, trigger=trigger, data=DATA, trainer=trainer)
    return {name: evaluation.as_dict() for name, evaluation in found.items()}


def run(variant: str, seed: int, trainer: Trainer) -> None:
    """Purify the attacked encoder with one method and one seed, measure, and write the card."""
    card = RESULTS / f"{variant}-seed{seed}.json"
    if card.exists():
        return
    purified_file, facts = trained(variant, seed, trainer)
    purified = load_encoder(purified_file)
    measured = {
        "results": measure(purified, trainer),
        "cosine_to_suspect": cosines(load_encoder(SUSPECT), purified, trainer),
        "old_head": with_old_head(purified, trainer),
    }
    write_json(card, facts | measured | {"measured_at": provenance()["commit"]})


def complete(trainer: Trainer) -> None:
    """Add to old cards the measurements that came later, where the purified encoder is at hand."""
    for card in sorted(RESULTS.glob("*.json")):
        facts = json.loads(card.read_text())
        purified_file = RUNS / card.stem / "purified.safetensors"
        if "old_head" not in facts and purified_file.exists():
            found = with_old_head(load_encoder(purified_file), trainer)
            write_json(card, facts | {"old_head": found})


def with_old_head(purified: Encoder, trainer: Trainer) -> dict[str, Any]:
    """The purified encoder under a linear head that was fitted to the attacked one."""
    trigger, suspect = parse_trigger(TRIGGER), load_encoder(SUSPECT)
    found = judge(
        purified,
        TASKS,
        trigger=trigger,
        data=DATA,
        probe="linear",
        fitted_on=suspect,
        trainer=trainer,
    )
    return {name: evaluation.as_dict() for name, evaluation in found.items()}


def trained(variant: str, seed: int, trainer: Trainer) -> tuple[Path, dict[str, Any]]:
    """A purified encoder's file and the facts of its making; made unless it is there already.

    Both stay under runs/, so that a new way to measure needs no new training.
    """
    folder = RUNS / f"{variant}-seed{seed}"
    purified_file, facts_file = folder / "purified.safetensors", folder / "facts.json"
    if facts_file.exists():
        return purified_file, json.loads(facts_file.read_text())
    chosen = seed_of("defender", seed)
    clean_images = images("cifar10:train").sample(count=CLEAN_IMAGES, seed=chosen)
    defense = VARIANTS[variant].with_settings(seed=seed)
    environment = replace(trainer, folder=folder / "training", resume=True)
    started = time.monotonic()
    result = defense(load_encoder(SUSPECT), clean_images, trainer=environment)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = result.localization
    facts = {
        "schema": 1,
        "scenario": "small-badencoder",
        "encoder_sha256": sha256(SUSPECT),
        "variant": variant,
        "method": type(defense).__name__,
        "settings": asdict(defense),
        "seed": seed,
        "images": {"source": "cifar10:train", "count": CLEAN_IMAGES, "seed": seed},
        "localization": None if found is None else found.as_dict(),
        "seconds": seconds,
        "training_seconds": result.history.seconds,
        "images_per_second": result.history.images_per_second,
        "peak_memory_mib": peak,
    } | provenance()
    save_encoder(result.encoder, purified_file)
    write_json(facts_file, facts)
    shutil.rmtree(folder / "training", ignore_errors=True)
    return purified_file, facts


def cosines(suspect: Encoder, purified: Encoder, trainer: Trainer) -> dict[str, float]:
    """Mean cosine between both encoders on CIFAR-10's test images, clean and triggered."""
    some = images("cifar10:test").sample(count=2000, seed=0)
    stamps: dict[str, Trigger | None] = {"clean": None, "triggered": parse_trigger(TRIGGER)}
    found = {}
    for name, trigger in stamps.items():
        before = extract_features(suspect, some, trigger=trigger, trainer=trainer)
        after = extract_features(purified, some, trigger=trigger, trainer=trainer)
        found[name] = paired_cosine(before, after)
    return found


def provenance() -> dict[str, Any]:
    """Versions, commit and kind of machine: what a reader needs to repeat or doubt a number."""
    return machine() | {"commit": commit() or ""}


_AsWritten = argparse.RawTextHelpFormatter


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_AsWritten)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("zoo")
    commands.add_parser("complete")
    for name in ("run", "train"):
        one = commands.add_parser(name)
        one.add_argument("variant", choices=list(VARIANTS))
        one.add_argument("--seed", type=int, default=0)
    every = commands.add_parser("all")
    every.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    every.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    asked = parser.parse_args()
    trainer = Trainer(progress=True)
    if asked.command == "zoo":
        make_zoo(replace(trainer, folder=RUNS / "zoo", resume=True))
    elif asked.command == "complete":
        complete(trainer)
    elif asked.command == "run":
        run(asked.variant, asked.seed, trainer)
    elif asked.command == "train":
        trained(asked.variant, asked.seed, trainer)
    else:
        for seed in asked.seeds:
            for variant in asked.variants:
                run(variant, seed, trainer)


if __name__ == "__main__":
    main()
