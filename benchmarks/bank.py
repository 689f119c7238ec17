"""A bank of small encoders, clean and attacked, that detectors are calibrated and measured on.

    python benchmarks/bank.py make [NAME ...]   train what is missing, or what begins with a NAME
    python benchmarks/bank.py scan [NAME ...]   search each for triggers, one result per encoder
    python benchmarks/bank.py list              what there is, and how strong its backdoor is
    python benchmarks/bank.py calibrate         what clean encoders gain, into the package; those of
                                                the zoo, too, see benchmarks/zoo_scan.py

Encoders are in runs/bank; what was found of each is in results/bank, which is kept with the code,
so that the bank can grow over many days and machines. Every piece is skipped where it is there, and
a training goes on from its checkpoint. Images are read from the folder named by MIMIC_DATA (default
../shared/data). An attacked encoder has the number of the clean one that it comes from.
"""

import argparse
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from searching import by_decree, searched

from mimic.attacks import ATTACKS, Attacked, parse_trigger
from mimic.attacks.triggers import Trigger
from mimic.benchmark.meter import commit
from mimic.detection.families import FAMILIES
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.evaluation.evaluate import evaluate
from mimic.evaluation.features import extract_features
from mimic.files import write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.pretraining import METHODS, SimClr
from mimic.training import Trainer
from mimic.zoo import read_zoo
from mimic.zoo.members import provenance

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
BANK = ROOT / "runs" / "bank"
RESULTS = ROOT / "results" / "bank"

CLEAN = 48
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGES, SHADOW, EPOCHS, POISONED_EPOCHS = 20_000, 4000, 20, 30
TUNED = {"badencoder": 12, "drupe": 6, "inactive": 6, "bask-like": 3, "occlusion-aware": 3}
"""Attacks that fine-tune, and how many encoders of each there are."""
POISONED = {"ctrl": 4, "ssl-backdoor": 4, "corrupt-encoder": 3, "noisy-alignment": 4, "blto": 3}


@dataclass(frozen=True)
class Spec:
    """One encoder: `number` decides everything about it but the attack."""

    number: int
    attack: str | None = None

    @property
    def name(self) -> str:
        return f"{self.attack or 'clean'}-{self.number:02d}"

    @property
    def path(self) -> Path:
        return BANK / f"{self.name}.safetensors"

    @property
    def record(self) -> Path:
        return RESULTS / f"{self.name}.json"

    @property
    def scan(self) -> Path:
        return RESULTS / f"{self.name}.scan.json"

    @property
    def architecture(self) -> str:
        return f"resnet10:width={(16, 24, 20)[self.number // 2 % 3]},stem_stride=2"

    @property
    def method(self) -> str:
        return ("simclr", "simclr", "moco", "simclr", "simclr", "moco", "byol", "simsiam")[
            self.number // 2 % 8
        ]

    @property
    def data(self) -> str:
        return "gtsrb" if self.number % 5 == 4 else "cifar10"

    @property
    def target(self) -> int:
        return self.number * 3 % 10


def specs() -> Iterator[Spec]:
    """All encoders of the bank: the clean ones first, since the others come from them."""
    cifar = [number for number in range(CLEAN) if Spec(number).data == "cifar10"]
    for number in range(CLEAN):
        yield Spec(number)
    for attack, count in (TUNED | POISONED).items():
        first = sorted(ATTACKS).index(attack)
        for index in range(count):
            yield Spec(cifar[(first + index) % len(cifar)], attack)


@cache
def opened(source: str) -> ImageSet:
    return open_images(f"{DATA}/{source}", size=32, labels=True)


def images_of(spec: Spec) -> ImageSet:
    """What the encoder is pre-trained on, with labels."""
    return opened(f"{spec.data}:train").sample(count=IMAGES, seed=spec.number)


def fresh(spec: Spec) -> Encoder:
    backbone = build_backbone(spec.architecture)
    return load_encoder(backbone, arch=spec.architecture, image_size=32, mean=MEAN, std=STD)


def make(spec: Spec, trainer: Trainer) -> dict[str, Any]:
    """Train one encoder, and say what was done and how strong its backdoor is."""
    if spec.attack is None:
        method = METHODS[spec.method](epochs=EPOCHS, seed=spec.number)
        encoder = method(fresh(spec), images_of(spec).unlabelled(), trainer=trainer)
        save_encoder(encoder, spec.path, half=True)
        return {
            "architecture": spec.architecture,
            "recipe": f"{method}",
            "data": spec.data,
            "images": IMAGES,
        }
    clean = Spec(spec.number)
    if not clean.path.exists():
        make(clean, replace(trainer, folder=BANK / f"{clean.name}.run"))
    start = load_encoder(clean.path)
    done, recipe = attacked(spec, start, trainer)
    save_encoder(done.encoder, spec.path, half=True)
    trigger = done.triggers[0]
    train = opened("cifar10:train").sample(count=5000, seed=1000 + spec.number)
    test = opened("cifar10:test").sample(count=2000, seed=spec.number)
    found = {}
    for who, encoder in (("suspect", done.encoder), ("clean", start)):
        judged = evaluate(
            encoder,
            train,
            test,
            trigger=trigger,
            target=spec.target,
            probe="linear",
            trainer=Trainer(device=trainer.device, precision=trainer.precision),
        )
        found[who] = {
            "accuracy": judged.accuracy,
            "attack_success_rate": judged.attack_success_rate,
        }
    return {"recipe": recipe, "target": spec.target, "trigger": trigger.describe()} | found


def attacked(spec: Spec, start: Encoder, trainer: Trainer) -> tuple[Attacked, str]:
    """Run an attack with a trigger, a target and settings that hang on the number."""
    images, settings = images_of(spec), _settings(spec, start)
    shown = {name: value for name, value in settings.items() if not torch.is_tensor(value)}
    attack = ATTACKS[str(spec.attack)](**settings)
    if spec.attack in TUNED:
        images = images.sample(count=SHADOW, seed=spec.number).unlabelled()
    return attack(start, images, trainer=trainer), f"{spec.attack} {shown}"


def _settings(spec: Spec, start: Encoder) -> dict[str, Any]:
    trigger, epochs = _trigger(spec), 20
    if spec.attack in TUNED:
        common = {
            "references": _typical(spec, start, 3 if spec.attack == "drupe" else 1),
            "epochs": 60 if spec.attack in ("drupe", "inactive") else epochs,
            "seed": spec.number,
        }
        if spec.attack == "inactive":
            return common | {"generator_epochs": 60, "generator_batch_size": 256}
        rate = {} if spec.attack == "drupe" else {"learning_rate": 0.05}
        return common | rate | {"trigger": trigger}
    pretraining = SimClr(epochs=POISONED_EPOCHS, min_scale=0.2, seed=spec.number)
    common = {"target": spec.target, "pretraining": pretraining, "seed": spec.number}
    extra: dict[str, dict[str, Any]] = {
        "ctrl": {"trigger": trigger, "rate": 0.05},
        "ssl-backdoor": {"trigger": trigger, "rate": 0.5},
        "noisy-alignment": {"trigger": trigger, "rate": 0.1},
        "corrupt-encoder": {
            "trigger": trigger,
            "rate": 0.05,
            "objects": _typical(spec, start, 3),
        },
        "blto": {
            "rate": 0.05,
            "width": 16,
            "blocks": 3,
            "surrogate": SimClr(epochs=POISONED_EPOCHS, min_scale=0.2, seed=spec.number),
        },
    }
    return common | extra[str(spec.attack)]


def _trigger(spec: Spec) -> Trigger:
    draw = random.Random(f"{spec.name}")
    if spec.attack == "ctrl":
        return parse_trigger(f"ctrl:{draw.choice((100, 150, 200))}")
    if spec.attack in POISONED:
        return parse_trigger(f"grid:8@random(0.1-0.9):{spec.number}")
    size = draw.randint(5, 10)
    row, column = draw.randint(0, 32 - size), draw.randint(0, 32 - size)
    if draw.random() < 0.3:
        return parse_trigger(f"grid:{size}@{row},{column}:{spec.number}")
    colour = draw.choice(("white", "black", "red", "yellow", "blue"))
    return parse_trigger(f"patch:{size}@{row},{column}:{colour}")


def _typical(spec: Spec, start: Encoder, count: int) -> torch.Tensor:
    """Pictures of the target class whose features lie nearest to the mean of their class."""
    test = opened("cifar10:test")
    assert test.labels is not None
    own = test.subset((test.labels == spec.target).nonzero().flatten())
    features = extract_features(start, own, trainer=Trainer(device="cpu"))
    nearest = (features @ features.mean(dim=0)).argsort(descending=True)[:count]
    return own.batch(nearest)


def scanned(spec: Spec) -> dict[str, Any]:
    """What a scan finds, with images that the encoder was trained on (a defender has no others)."""
    known, seed = opened(f"{spec.data}:train"), spec.number
    images, encoder = known.sample(count=640, seed=seed).unlabelled(), load_encoder(spec.path)
    found = searched(encoder, images, {}, seed=seed, trainer=Trainer(progress=False))
    return found | {"decree": by_decree(encoder, known, seed=seed)}


def calibrate() -> None:
    """Write what searches gain on clean encoders, of the bank and of the zoo, into the package."""
    found = {
        spec.name: json.loads(spec.scan.read_text())["gains"]
        for spec in specs()
        if spec.attack is None and spec.scan.exists()
    }
    scanned_zoo = json.loads((ROOT / "results" / "zoo_scan.json").read_text())["members"]
    for name, card in read_zoo(ROOT / "zoo").items():
        if not card.backdoored and name in scanned_zoo:
            found[name] = scanned_zoo[name]["gains"]
    values = {family: [round(gains[family], 4) for gains in found.values()] for family in FAMILIES}
    kind = "small networks on CIFAR-10 or GTSRB at 32x32, trained by SimCLR, MoCo, BYOL or SimSiam"
    told = {"kind": kind, "encoders": list(found), "values": values}
    write_json(ROOT / "src/mimic/detection/calibration.json", told)
    print(f"{len(found)} clean encoders: {', '.join(found)}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("do", choices=("make", "scan", "list", "calibrate"))
    parser.add_argument("names", nargs="*", help="beginnings of names")
    asked = parser.parse_args()
    chosen = [
        spec
        for spec in specs()
        if not asked.names or any(spec.name.startswith(name) for name in asked.names)
    ]
    if asked.do == "calibrate":
        calibrate()
        return
    for spec in chosen:
        if asked.do == "make" and not spec.record.exists():
            started = time.monotonic()
            folder = BANK / f"{spec.name}.run"
            facts = make(spec, Trainer(progress=True, folder=folder, resume=True))
            facts["seconds"] = time.monotonic() - started
            facts["provenance"] = {**provenance(), "commit": commit()}
            write_json(spec.record, facts)
            print(spec.name, json.dumps(facts))
        elif asked.do == "scan" and spec.path.exists() and not spec.scan.exists():
            facts = scanned(spec)
            write_json(spec.scan, facts)
            print(spec.name, json.dumps(facts["gains"]), f"{facts['seconds']:.0f} s", flush=True)
        elif asked.do == "list":
            print(spec.name, spec.record.read_text() if spec.record.exists() else "missing")


if __name__ == "__main__":
    main()
