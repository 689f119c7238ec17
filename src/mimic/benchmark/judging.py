"""What a cell is run on and judged by, and what it is compared with: its controls."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mimic.benchmark.cards import Results
from mimic.benchmark.grid import Cell
from mimic.benchmark.schema import parse
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.evaluation.evaluate import Evaluation, evaluate
from mimic.files import ensure_folder, sha256, write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.seeds import seed_of
from mimic.training import Trainer
from mimic.zoo.members import aim, member_trigger, open_task


def clean_images(cell: Cell, size: int | None) -> ImageSet:
    """The clean images of a cell; a sample is held in memory without the set it comes from."""
    scenario = cell.scenario
    chosen = open_images(scenario.locate(scenario.images), size=size).sample(
        ratio=cell.ratio, count=cell.count, seed=seed_of("defender", cell.defense.seed)
    )
    if chosen.streamed or cell.ratio == 1:
        return chosen
    return ImageSet.from_tensor(chosen.tensor(), name=chosen.name, skipped=chosen.skipped)


def labelled_images(cell: Cell, task: str, size: int | None) -> tuple[ImageSet, ImageSet]:
    """Training and test images of a task."""
    scenario, wanted = cell.scenario, cell.scenario.tasks[task]
    return open_task(scenario.locate(wanted.train), scenario.locate(wanted.test), size=size)


def judged(cell: Cell, encoder: Encoder) -> Results:
    """An encoder, judged on each task with each probe, with the trigger where there is a target."""
    return {
        task: _judged_on(cell, encoder, task, cell.probes, seed=cell.defense.seed)
        for task in cell.scenario.tasks
    }


def measured_controls(cell: Cell, folder: Path) -> dict[str, Results]:
    """The suspect and the clean encoder that it came from, judged as the cell is.

    What the zoo knows of them is taken from there; it knows one probe, and of the clean encoder no
    success rate of other triggers than its card names. The rest is measured once per benchmark,
    with the seed 0.

    Args:
        cell: that has been run.
        folder: what was measured is kept there, a file for each encoder, task and probe.
    """
    scenario = cell.scenario
    files = {"suspect": scenario.encoder, "clean": scenario.origin}
    return {
        who: {
            task: {
                probe: _known(cell, who, task, probe) or _measured(cell, file, task, probe, folder)
                for probe in cell.probes
            }
            for task in scenario.tasks
        }
        for who, file in files.items()
        if file is not None
    }


def _known(cell: Cell, who: str, task: str, probe: str) -> Evaluation | None:
    """What the zoo says, if it says all that there is to know."""
    said = cell.scenario.controls.get(who, {}).get(task, {}).get(probe)
    aimed = cell.scenario.card.trigger and cell.scenario.tasks[task].target is not None
    return None if said is None or (aimed and said.attack_success_rate is None) else said


def _measured(cell: Cell, file: Path, task: str, probe: str, folder: Path) -> Evaluation:
    facts: Mapping[str, object] = {
        "encoder": sha256(file),
        "suspect": cell.scenario.card.sha256,
        "trigger": cell.scenario.card.trigger,
        "task": asdict(cell.scenario.tasks[task]),
        "probe": probe,
        "on": [cell.device, cell.precision],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{file.stem}_{probe}_{digest}.json"
    try:
        kept: Evaluation = parse(Evaluation, json.loads(path.read_text("utf-8")), f"'{path}'")
        return kept
    except (OSError, ValueError):  # not there, or cut in half
        found = _judged_on(cell, load_encoder(file), task, [probe], seed=0)[probe]
        write_json(ensure_folder(folder) / path.name, found.as_dict())
        return found


def _judged_on(
    cell: Cell, encoder: Encoder, task: str, probes: Sequence[str], *, seed: int
) -> dict[str, Evaluation]:
    """By probe; the images of the task are opened once for all of them."""
    scenario = cell.scenario
    train, test = labelled_images(cell, task, encoder.image_size)
    aimed = aim(member_trigger(scenario.card, scenario.folder), scenario.tasks[task])
    trainer = Trainer(device=cell.device, precision=cell.precision)
    return {
        probe: evaluate(encoder, train, test, **aimed, probe=probe, seed=seed, trainer=trainer)
        for probe in probes
    }
