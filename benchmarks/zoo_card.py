"""Take an encoder into the zoo: store it in half precision, measure it, write its card.

    python benchmarks/zoo_card.py NAME FILE --task gtsrb:12 --task cifar10 --trigger patch:10@21,21

The recipe on the card is what `mimic pretrain` and `mimic attack` left in the header of FILE. A
number behind a task is the class that the trigger leads to. The scripts in zoo/recipes/ call this.
Images are read from the folder named by MIMIC_DATA (default ../shared/data).
"""

import argparse
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimic.attacks.triggers import parse_trigger
from mimic.attacks.triggers.generator import Generated
from mimic.benchmark.meter import commit
from mimic.encoders.checkpoint import read_checkpoint
from mimic.encoders.description import read_description
from mimic.encoders.loading import load_encoder
from mimic.files import write_json
from mimic.training import Trainer
from mimic.zoo import Card, Task
from mimic.zoo.members import add_member

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
ZOO = ROOT / "zoo"
TASKS = {name: Task(train=f"{name}:train", test=f"{name}:test") for name in ("gtsrb", "cifar10")}
STRONG = 0.8
"""An attack with a lower success rate on every task is called weak on its card."""


def header_of(path: Path) -> tuple[str, dict[str, Any]]:
    """Architecture and recipe from the header of a file that mimic wrote."""
    said = read_description(read_checkpoint(path).metadata, path)
    if said is None or said.architecture is None:
        raise SystemExit(f"'{path}' was not written by mimic, so nobody knows how it was made")
    return said.architecture, within_data(dict(said.extra))


def within_data(value: Any) -> Any:
    """Plain values, in which paths of images begin at the folder of the data."""
    if isinstance(value, str):
        return value.replace(f"{DATA}/", "")
    if isinstance(value, dict):
        return {key: within_data(part) for key, part in value.items()}
    return [within_data(part) for part in value] if isinstance(value, list) else value


def trigger_in(zoo: Path, name: str, spelling: str | None) -> str | None:
    """The spelling of a trigger inside the zoo; a learned one is copied there as NAME.trigger."""
    if spelling is None:
        return None
    trigger = parse_trigger(spelling)
    if not isinstance(trigger, Generated):
        return trigger.spelling
    file = f"{name}.trigger.safetensors"
    shutil.copyfile(str(trigger.path), zoo / file)
    return f"generator:{file}"


def task_of(text: str) -> tuple[str, Task]:
    """`gtsrb:12` to the name and the task with its target."""
    name, _, target = text.partition(":")
    if name not in TASKS:
        raise SystemExit(f"task '{name}' is unknown; there are {', '.join(TASKS)}")
    return name, replace(TASKS[name], target=int(target) if target else None)


def weakness(card: Card) -> tuple[str, ...]:
    """A remark if the attack succeeds on no task, by the mean of the heads."""
    judged = [one for one in card.expected.values() if one["attack_success_rate"] is not None]
    best = max(judged, key=lambda one: float(one["attack_success_rate"]), default=None)
    if not card.backdoored or best is None or best["attack_success_rate"] >= STRONG:
        return ()
    rates = [100 * head["attack_success_rate"] for head in best["heads"]]
    spread = f"{len(rates)} heads: {min(rates):.1f} to {max(rates):.1f} %"
    heads = "one head" if len(rates) == 1 else spread
    return (f"weak: its attack success is {100 * best['attack_success_rate']:.1f} % ({heads})",)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("file", type=Path)
    parser.add_argument("--task", action="append", required=True, metavar="NAME[:TARGET]")
    parser.add_argument("--trigger")
    parser.add_argument("--attack", help="its name; without it the member is a clean one")
    parser.add_argument(
        "--origin", help="member that was attacked, where its digest on the card does not say so"
    )
    parser.add_argument("--remark", action="append", default=[])
    asked = parser.parse_args()
    if (ZOO / f"{asked.name}.json").exists():
        return
    architecture, recipe = header_of(asked.file)
    if asked.origin:
        recipe["attack"]["encoder"] = f"{asked.origin}.safetensors"
    card = Card(
        name=asked.name,
        sha256="",
        architecture=architecture,
        backdoored=asked.attack is not None,
        attack=asked.attack,
        trigger=trigger_in(ZOO, asked.name, asked.trigger),
        tasks=dict(map(task_of, asked.task)),
        recipe=recipe,
        remarks=tuple(asked.remark),
    )
    measured = add_member(
        card, load_encoder(asked.file), ZOO, data=DATA, trainer=Trainer(progress=True)
    )
    complete = replace(
        measured,
        remarks=measured.remarks + weakness(measured),
        provenance={**measured.provenance, "commit": commit() or ""},
    )
    write_json(ZOO / f"{asked.name}.json", complete.as_dict())


if __name__ == "__main__":
    main()
