"""What happens when the defender's images are not what they should be: triggers on some, or others.

    python benchmarks/dirty_images.py run SETTING --seed 0     one purification, one card
    python benchmarks/dirty_images.py all [--seeds 0 1 2]      every run that has no card yet

The reference scenario (`reference.py`) with `mimic` and another set of clean images. Of 2,000
images of CIFAR-10 a share carries the trigger of the attack itself: 0, 0.1, 1 or 5 %. Or the images
are 2,000 of GTSRB, while the encoder was trained on CIFAR-10. Cards go to results/dirty-images/. An
interrupted run goes on from its checkpoint.
"""

import argparse
import json
import resource
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import reference
import torch
from torch import Tensor

from mimic.attacks.triggers import parse_trigger
from mimic.defenses import Mimic
from mimic.detection.crowds import uncrowded
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.files import sha256, write_json
from mimic.images.imageset import ImageSet
from mimic.seeds import seed_of
from mimic.training import Trainer

RESULTS, RUNS = (
    reference.ROOT / "results" / "dirty-images",
    reference.ROOT / "runs" / "dirty-images",
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The images that a defender purifies with.

    Attributes:
        source: where they come from.
        dirty_share: of them, in [0, 1], carries the trigger.
    """

    source: str = "cifar10:train"
    dirty_share: float = 0.0


SETTINGS = {
    "clean": Setting(),
    "dirty-0.1pc": Setting(dirty_share=0.001),
    "dirty-1pc": Setting(dirty_share=0.01),
    "dirty-5pc": Setting(dirty_share=0.05),
    "gtsrb": Setting(source="gtsrb:train"),
}


def defenders_images(setting: Setting, count: int, seed: int) -> tuple[ImageSet, Tensor]:
    """So many random images, the trigger on a random share of them; and which of them these are."""
    drawn = reference.images(setting.source).sample(count=count, seed=seed_of("defender", seed))
    dirty = round(count * setting.dirty_share)
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:dirty]
    if dirty == 0:
        return drawn, chosen
    pixels = drawn.tensor()
    pixels[chosen] = parse_trigger(reference.TRIGGER)(pixels[chosen])
    return ImageSet.from_tensor(pixels, name=f"{drawn.name}, the trigger on {dirty}"), chosen


def trained(
    name: str, seed: int, trainer: Trainer, *, count: int, epochs: int, folder: Path
) -> tuple[Path, dict[str, Any]]:
    """A purified encoder's file and the facts of its making; made unless it is there already."""
    purified_file, facts_file = folder / "purified.safetensors", folder / "facts.json"
    if facts_file.exists():
        return purified_file, json.loads(facts_file.read_text())
    setting, defense = SETTINGS[name], Mimic(epochs=epochs, seed=seed)
    images, dirty = defenders_images(setting, count, seed)
    suspect = load_encoder(reference.SUSPECT)
    stay = uncrowded(suspect, images, seed=seed, trainer=replace(trainer, progress=False))
    environment = replace(trainer, folder=folder / "training", resume=True)
    started = time.monotonic()
    result = defense(suspect, images, trainer=environment)
    found = result.localization
    facts = {
        "schema": 1,
        "scenario": "small-badencoder",
        "encoder_sha256": sha256(reference.SUSPECT),
        "variant": name,
        "method": type(defense).__name__,
        "settings": asdict(defense),
        "seed": seed,
        "images": asdict(setting) | {"count": count, "seed": seed},
        "not_in_crowds": {"images": len(stay), "dirty": int(torch.isin(stay, dirty).sum())},
        "localization": None if found is None else found.as_dict(),
        "seconds": time.monotonic() - started,
        "training_seconds": result.history.seconds,
        "images_per_second": result.history.images_per_second,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    } | reference.provenance()
    save_encoder(result.encoder, purified_file)
    write_json(facts_file, facts)
    shutil.rmtree(folder / "training", ignore_errors=True)
    return purified_file, facts


def run(name: str, seed: int, trainer: Trainer, *, count: int, epochs: int) -> None:
    """Purify, measure, and write the card, unless there is one."""
    card = RESULTS / f"{name}-seed{seed}.json"
    if card.exists():
        return
    folder = RUNS / f"{name}-seed{seed}-{count}-{epochs}"
    file, facts = trained(name, seed, trainer, count=count, epochs=epochs, folder=folder)
    purified, suspect = load_encoder(file), load_encoder(reference.SUSPECT)
    measured = {
        "results": reference.measure(purified, trainer),
        "cosine_to_suspect": reference.cosines(suspect, purified, trainer),
        "old_head": reference.with_old_head(purified, trainer),
    }
    write_json(card, facts | measured | {"measured_at": reference.provenance()["commit"]})


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one, every = commands.add_parser("run"), commands.add_parser("all")
    one.add_argument("setting", choices=list(SETTINGS))
    one.add_argument("--seed", type=int, default=0)
    every.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for command in (one, every):
        command.add_argument("--count", type=int, default=reference.CLEAN_IMAGES)
        command.add_argument("--epochs", type=int, default=reference.OUR_EPOCHS)
    asked = parser.parse_args()
    seeds = [asked.seed] if asked.command == "run" else asked.seeds
    names = [asked.setting] if asked.command == "run" else list(SETTINGS)
    for seed in seeds:
        for name in names:
            run(name, seed, Trainer(progress=True), count=asked.count, epochs=asked.epochs)


if __name__ == "__main__":
    main()
