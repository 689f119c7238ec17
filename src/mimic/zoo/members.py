"""What can be done with members of the zoo: open, export, measure and add them."""

import os
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import torch

from mimic.attacks.triggers import Trigger, parse_trigger
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError
from mimic.evaluation.evaluate import Evaluation, evaluate
from mimic.files import atomic_write, ensure_folder, sha256, write_json
from mimic.images.classes import with_classes_of
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.provenance import versions
from mimic.training import Trainer
from mimic.zoo.card import Card, Task

DATA_VARIABLE = "MIMIC_DATA"
HEADS = 3
"""Heads behind a success rate on a card: one is a draw of chance, see `mimic.evaluate`."""
_MOST = (10_000, 5000)
"""Images that neighbours are looked for among, and images that are judged by them."""
_FILE_TRIGGER = re.compile(r"(?P<kind>[a-z]+):(?P<file>[^@:]+\.[a-z]+)(?P<rest>.*)")


def open_member(card: Card, zoo: Path) -> Encoder:
    """The encoder of a card.

    Raises:
        InputError: the file is missing, or not the one that the card describes.
    """
    path = zoo / card.file
    if not path.is_file():
        raise InputError(f"'{path}' is missing, which card '{card.name}' describes")
    if sha256(path) != card.sha256:
        raise InputError(
            f"'{path}' is not the file that its card describes (another SHA-256); get it again"
        )
    return load_encoder(path)


def member_trigger(card: Card, zoo: Path) -> Trigger | None:
    """The trigger of a card, its file looked for in the zoo."""
    if card.trigger is None:
        return None
    return parse_trigger(_relocated(card.trigger, zoo))


def export_member(card: Card, zoo: Path, out: Path) -> list[Path]:
    """Copy a member to `out`, its card beside it, and the file of its trigger if it has one.

    Raises:
        InputError: the member or its trigger is missing or damaged, `out` cannot be written, or
            beside it another file has the name of the trigger's.
    """
    open_member(card, zoo)
    member_trigger(card, zoo)
    ensure_folder(out.parent)
    renamed = replace(card, name=out.stem)
    pairs = [(zoo / card.file, out)]
    used = None if card.trigger is None else _FILE_TRIGGER.fullmatch(card.trigger)
    if used is not None:
        source, beside = zoo / used["file"], out.parent / used["file"]
        if beside.is_file() and sha256(beside) != sha256(source):
            raise InputError(f"'{beside}' is another file than the trigger; choose another folder")
        pairs.append((source, beside))
    for source, destination in pairs:
        with atomic_write(destination) as temporary:
            shutil.copyfile(source, temporary)
    write_json(out.with_suffix(".json"), renamed.as_dict())
    return [destination for _, destination in pairs] + [out.with_suffix(".json")]


def measure(
    encoder: Encoder,
    tasks: Mapping[str, Task],
    *,
    trigger: Trigger | None,
    data: Path,
    probe: str = "mlp",
    fitted_on: Encoder | None = None,
    seed: int = 0,
    heads: int = 1,
    most: tuple[int, int] | None = None,
    trainer: Trainer,
) -> dict[str, Evaluation]:
    """Judge an encoder by each task, with the trigger where the task has a target.

    Args:
        encoder: what is judged.
        tasks: by name.
        trigger: None measures accuracy only.
        data: folder below which the tasks' images are.
        probe: a name of `mimic.evaluation.PROBES`.
        fitted_on: the encoder whose place it took, see `mimic.evaluate`.
        seed: of the first head.
        heads: behind each success rate; a task without a target has one head, whose accuracy
            depends little on it.
        most: training and test images that are used, drawn at random but always the same ones;
            None uses all.
        trainer: the environment.
    """
    found = {}
    for name, task in tasks.items():
        train, test = open_task(
            f"{data}/{task.train}", f"{data}/{task.test}", size=encoder.image_size
        )
        if most is not None:
            train = train.sample(count=min(most[0], len(train)), seed=0)
            test = test.sample(count=min(most[1], len(test)), seed=0)
        aimed = aim(trigger, task)
        found[name] = evaluate(
            encoder,
            train,
            test,
            **aimed,
            probe=probe,
            fitted_on=fitted_on,
            seed=seed,
            heads=1 if aimed["target"] is None else heads,
            trainer=trainer,
        )
    return found


def open_task(train: str, test: str, *, size: int | None) -> tuple[ImageSet, ImageSet]:
    """Training and test images of a task, with labels; both number their classes alike.

    Args:
        train: SRC.
        test: SRC.
        size: height and width that the encoder expects, in pixels; None takes that of the images.
    """
    known = open_images(train, size=size, labels=True)
    return known, with_classes_of(open_images(test, size=known.size, labels=True), known)


class Aim(TypedDict):
    """The arguments of `evaluate` that say what a trigger should lead to; both or neither."""

    trigger: Trigger | None
    target: int | None


def aim(trigger: Trigger | None, task: Task) -> Aim:
    """The trigger and the target of a task, where there are both."""
    aimed = trigger is not None and task.target is not None
    return Aim(trigger=trigger if aimed else None, target=task.target if aimed else None)


def measure_neighbours(
    encoder: Encoder,
    tasks: Mapping[str, Task],
    *,
    trigger: Trigger | None,
    data: Path,
    trainer: Trainer,
) -> dict[str, dict[str, float | None]]:
    """Judge an encoder by a head that is not trained, on a part of the images: `Card.neighbours`.

    Args:
        encoder: what is judged.
        tasks: by name.
        trigger: None measures accuracy only.
        data: folder below which the tasks' images are.
        trainer: the environment.
    """
    found = measure(
        encoder, tasks, trigger=trigger, data=data, probe="knn", most=_MOST, trainer=trainer
    )
    return {
        name: {"accuracy": one.accuracy, "attack_success_rate": one.attack_success_rate}
        for name, one in found.items()
    }


def add_member(card: Card, encoder: Encoder, zoo: Path, *, data: Path, trainer: Trainer) -> Card:
    """Store an encoder in half precision, measure what was stored, and write its card.

    Args:
        card: all but `sha256`, `expected`, `neighbours` and `provenance`, which are measured.
        encoder: the new member.
        zoo: the folder; the file of the trigger, if it has one, is there already.
        data: folder below which the tasks' images are.
        trainer: the environment.

    Raises:
        InputError: there is a member of that name, or the zoo cannot be written.
    """
    if (zoo / f"{card.name}.json").exists():
        raise InputError(f"there is a member '{card.name}' in '{zoo}'; remove its card first")
    digest = save_encoder(encoder, zoo / card.file, half=True)
    stored = load_encoder(zoo / card.file)
    trigger = member_trigger(card, zoo)
    found = measure(stored, card.tasks, trigger=trigger, data=data, heads=HEADS, trainer=trainer)
    complete = replace(
        card,
        sha256=digest,
        expected={name: evaluation.as_dict() for name, evaluation in found.items()},
        neighbours=measure_neighbours(
            stored, card.tasks, trigger=trigger, data=data, trainer=trainer
        ),
        provenance=provenance(),
    )
    write_json(zoo / f"{card.name}.json", complete.as_dict())
    return complete


def find_data(folder: str | None = None) -> Path:
    """Where the images of the tasks are: the folder given, or what MIMIC_DATA names.

    Raises:
        InputError: there is no such folder.
    """
    named = folder or os.environ.get(DATA_VARIABLE)
    if named is None or not Path(named).is_dir():
        where = "no folder is named" if named is None else f"there is no folder '{named}'"
        raise InputError(
            f"{where} for the images that members are judged by (cifar10/, gtsrb/, ...); "
            f"name it with --data DIR or {DATA_VARIABLE}"
        )
    return Path(named)


def provenance() -> dict[str, Any]:
    """Versions and kind of machine: what a reader needs to repeat or doubt a number."""
    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    return {
        "versions": versions(),
        "machine": f"{platform.machine()} CPU, {threads} thread(s), {capability}",
    }


def _relocated(spelling: str, zoo: Path) -> str:
    used = _FILE_TRIGGER.fullmatch(spelling)
    return spelling if used is None else f"{used['kind']}:{zoo / used['file']}{used['rest']}"
