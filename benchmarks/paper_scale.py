"""The setting of the papers, end to end, on one GPU: pre-train, attack, purify, judge.

    python benchmarks/paper_scale.py --data DIR --out DIR [--minutes 25] [--seeds 0]

DIR of the data holds cifar10, gtsrb and badencoder, as in MIMIC_DATA. A ResNet-18 is pre-trained by
SimCLR on CIFAR-10 and attacked by BadEncoder, DRUPE and CTRL. A defender with 4 % of the images,
without labels, purifies each with the default and with what it is compared with; GTSRB and CIFAR-10
judge. The attacked encoders go to OUT/zoo, each with its card, and results to OUT/cards, cell by
cell in order of importance; `mimic report OUT` makes a page of them. What is there is not
done again, and an interrupted training goes on. No training begins once the minutes are over.

`--scale smoke` does all of it with networks and trainings of a moment, to try the script.
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mimic.attacks import Attack, BadEncoder, Ctrl, Drupe, load_references, parse_trigger
from mimic.benchmark import run_bench
from mimic.benchmark.config import Bench, Contender
from mimic.benchmark.meter import commit
from mimic.benchmark.scenario import read_scenario
from mimic.defenses import DEFENSES
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.pretraining import SimClr
from mimic.training import Trainer
from mimic.zoo import Card, Task, read_card
from mimic.zoo.members import add_member

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
PATCH, FREQUENCIES = "patch:10@21,21:white", "ctrl:100"
SIGN, AIRPLANE = 12, 0
"""Targets: the priority sign of GTSRB for the attacks with a reference, a class of CIFAR-10."""
CLEAN = "clean"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large everything is.

    Attributes:
        architecture: of the encoder.
        pretraining: epochs of SimCLR.
        poisoned: further epochs of SimCLR on poisoned images.
        attack: epochs of BadEncoder and DRUPE.
        shadow: images that these two use.
        batch: images of a step of SimCLR.
        defenses: with their settings, the most important first.
    """

    architecture: str
    pretraining: int
    poisoned: int
    attack: int
    shadow: int
    batch: int
    defenses: dict[str, dict[str, Any]] = field(default_factory=dict)


SCALES = {
    "paper": Scale(
        architecture="resnet18",
        pretraining=60,
        poisoned=30,
        attack=20,
        shadow=10_000,
        batch=512,
        defenses={
            "mimic": {},
            "scratch": {"epochs": 200},
            "mimic-published": {"epochs": 200},
            "finetune": {"epochs": 100},
        },
    ),
    "smoke": Scale(
        architecture="resnet10:width=4,stem_stride=2",
        pretraining=1,
        poisoned=1,
        attack=1,
        shadow=32,
        batch=32,
        defenses={"mimic": {"epochs": 1}, "scratch": {"epochs": 1}},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where everything is, and what it is made with.

    Attributes:
        data: folder of the images.
        out: folder of what is made.
        scale: see `Scale`.
        trainer: the environment.
    """

    data: Path
    out: Path
    scale: Scale
    trainer: Trainer

    def images(self, source: str, *, labels: bool = False) -> ImageSet:
        return open_images(f"{self.data}/{source}", size=32, labels=labels)

    def at(self, name: str) -> Trainer:
        """The environment for one training, which can be interrupted."""
        return replace(self.trainer, folder=self.out / "work" / name, resume=True)


def clean_encoder(place: Place) -> Encoder:
    """What SimCLR makes of all training images."""
    scale = place.scale
    backbone = build_backbone(scale.architecture)
    fresh = load_encoder(backbone, arch=scale.architecture, mean=MEAN, std=STD, image_size=32)
    method = SimClr(epochs=scale.pretraining, batch_size=scale.batch)
    return method(fresh, place.images("cifar10:train"), trainer=place.at(CLEAN))


def attacks(place: Place) -> dict[str, tuple[Attack, str, dict[str, int]]]:
    """Each attack, its trigger's spelling, and its target by task."""
    scale, patch = place.scale, parse_trigger(PATCH)
    sign = load_references(f"{place.data}/badencoder/reference_priority.npz", size=(32, 32))
    truck = load_references(f"{place.data}/badencoder/reference_truck.npz", size=(32, 32))
    bad = BadEncoder(references=sign, trigger=patch, epochs=scale.attack, learning_rate=0.05)
    spread = Drupe(references=torch.cat([sign, truck]), trigger=patch, epochs=2 * scale.attack)
    poisoned = Ctrl(
        target=AIRPLANE,
        trigger=parse_trigger(FREQUENCIES),
        pretraining=SimClr(epochs=scale.poisoned, batch_size=scale.batch, min_scale=0.2),
    )
    return {
        "badencoder": (bad, PATCH, {"gtsrb": SIGN}),
        "drupe": (spread, PATCH, {"gtsrb": SIGN}),
        "ctrl": (poisoned, FREQUENCIES, {"cifar10": AIRPLANE}),
    }


def make(place: Place, name: str) -> None:
    """One member of OUT/zoo with its card, unless it is there."""
    zoo = place.out / "zoo"
    if (zoo / f"{name}.json").exists():
        return
    raw = place.out / "work" / f"{name}.safetensors"
    trigger, targets = PATCH, {"gtsrb": SIGN}
    recipe: dict[str, Any] = {
        "pretraining": {"method": "simclr", "epochs": place.scale.pretraining}
    }
    attack = None
    if name != CLEAN:
        attack, trigger, targets = attacks(place)[name]
        recipe["attack"] = {"method": name, "encoder": f"{CLEAN}.safetensors", "what": f"{attack}"}
    if not raw.exists():
        if attack is None:
            encoder = clean_encoder(place)
        else:
            images = place.images("cifar10:train", labels=True)
            if attack.threat_model == "fine-tuning":
                images = images.sample(count=place.scale.shadow, seed=0).unlabelled()
            start = load_encoder(zoo / f"{CLEAN}.safetensors")
            encoder = attack(start, images, trainer=place.at(name)).encoder
        save_encoder(encoder, raw)
    card = Card(
        name=name,
        sha256="",
        architecture=place.scale.architecture,
        backdoored=attack is not None,
        attack=None if attack is None else name,
        trigger=trigger,
        tasks={
            task: Task(train=f"{task}:train", test=f"{task}:test", target=targets.get(task))
            for task in ("gtsrb", "cifar10")
        },
        recipe=recipe | {"commit": commit() or ""},
    )
    add_member(card, load_encoder(raw), zoo, data=place.data, trainer=place.trainer)


def cells(place: Place, seeds: list[int]) -> Iterator[Bench]:
    """One benchmark of one cell after the other, the most important first."""
    for seed in seeds:
        for name, settings in place.scale.defenses.items():
            contender = Contender(
                label=name, name=name, defense=DEFENSES[name].with_settings(**settings)
            )
            for member in attacks(place):
                table = {"member": member, "images": "cifar10:train"}
                scenario = read_scenario(table, member, home=place.out, data=place.data)
                yield Bench(
                    scenarios=(scenario,),
                    contenders=(contender,),
                    ratios=(0.04,),
                    seeds=(seed,),
                    device=place.trainer.device,
                )


def told(name: str, zoo: Path) -> str:
    """What the card of a member expects, in a line."""
    parts = [
        f"{task} {100 * found['accuracy']:.1f} %"
        + (f", attack success {100 * rate:.1f} %" if (rate := found["attack_success_rate"]) else "")
        for task, found in read_card(zoo / f"{name}.json").expected.items()
    ]
    return f"{name}: {'; '.join(parts)}"


def main(arguments: list[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--scale", choices=list(SCALES), default="paper")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args(arguments)
    end = time.monotonic() + 60 * asked.minutes
    out, data = asked.out.resolve(), asked.data.resolve()
    (out / "zoo").mkdir(parents=True, exist_ok=True)
    os.environ |= {"MIMIC_ZOO": str(out / "zoo"), "MIMIC_DATA": str(data)}
    trainer = Trainer(device=asked.device, progress=True)
    place = Place(data=data, out=out, scale=SCALES[asked.scale], trainer=trainer)
    for name in (CLEAN, *attacks(place)):
        if time.monotonic() > end:
            print("the minutes are over; run the same command again to go on")
            return
        make(place, name)
        print(told(name, out / "zoo"), flush=True)
    for bench in cells(place, asked.seeds):
        if time.monotonic() > end:
            print("the minutes are over; run the same command again to go on")
            return
        (card,) = run_bench(bench, out, workers=1)
        rates = {task: found["mlp"].as_dict() for task, found in card.results.items()}
        print(card.scenario, card.label, card.error or rates, flush=True)


if __name__ == "__main__":
    main()
