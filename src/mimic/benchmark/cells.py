"""Running a cell: purify, judge with every probe on every task, and say what it cost."""

import json
import shutil
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mimic.benchmark.cards import Failure, ResultCard
from mimic.benchmark.grid import Cell
from mimic.benchmark.judging import clean_images, judged, measured_controls
from mimic.benchmark.meter import Meter, commit, peak_gpu_memory_mib, peak_memory_mib
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.errors import InterruptedRunError, RunError
from mimic.files import tells_full_disk, write_json
from mimic.training import History
from mimic.zoo.members import provenance


@dataclass(frozen=True, kw_only=True)
class Purified:
    """What a defence gave, and what it cost."""

    encoder: Encoder
    history: History
    images_used: int
    seconds: float
    memory: Mapping[str, float | None]


def run_cell(
    cell: Cell, *, work: Path, keep: Path | None = None, controls: Path | None = None
) -> ResultCard:
    """Run one cell to its card; an unfinished one goes on from its checkpoints.

    A cell that fails has a card too, with its error; its checkpoints are dropped then. Those of a
    finished cell stay until its card is written, see `forget`. That something cannot be written is
    no fault of the cell: there is no card then, and the checkpoints stay.

    Args:
        cell: what to run.
        work: folder of folders for checkpoints, one per cell.
        keep: folder for the purified encoder of a cell that does not fail; None keeps none.
        controls: folder for what is measured of the controls, see `measured_controls`; None takes
            what the zoo says and measures nothing.

    Raises:
        InterruptedRunError: SIGINT or SIGTERM arrived; the state is saved.
        InputError: the purified encoder cannot be written.
        RunError: the disk is full.
    """
    try:
        suspect = _suspect(cell)
        done = _purified(cell, suspect, _checkpoints(cell, work))
        started = time.monotonic()
        results = judged(cell, done.encoder)
        evaluation_seconds = time.monotonic() - started
        compared = cell.scenario.controls if controls is None else measured_controls(cell, controls)
    except InterruptedRunError:
        raise
    except Exception as error:
        if tells_full_disk(error):
            raise
        traceback.print_exc()
        forget(cell, work)
        return failed(cell, error)
    if keep is not None:
        _keep(done.encoder, encoder_file(keep, cell.stem))
    return _card(
        cell,
        results=results,
        images_used=done.images_used,
        seconds=done.seconds,
        evaluation_seconds=evaluation_seconds,
        images_per_second=done.history.images_per_second if done.history.steps else None,
        controls=compared,
        **done.memory,
    )


def encoder_file(folder: Path, stem: str) -> Path:
    """Where the purified encoder of a cell is kept: beside its card."""
    return folder / f"{stem}.safetensors"


def failed(cell: Cell, error: Exception) -> ResultCard:
    """The card of a cell that ended with an error."""
    message = " ".join(str(error).split())[:1000]
    return _card(cell, error=Failure(type=type(error).__name__, message=message))


def forget(cell: Cell, work: Path) -> None:
    """Remove the checkpoints of a cell."""
    shutil.rmtree(work / cell.stem, ignore_errors=True)


def _suspect(cell: Cell) -> Encoder:
    encoder = load_encoder(cell.scenario.encoder)
    if encoder.origin is None or encoder.origin.sha256 != cell.scenario.card.sha256:
        raise RunError(f"'{cell.scenario.encoder}' was changed while the benchmark ran")
    return encoder


def _checkpoints(cell: Cell, work: Path) -> Path:
    """The folder for checkpoints of a cell; what another one with its name left there goes."""
    record, facts = work / cell.stem / "cell.json", json.loads(json.dumps(cell.facts()))
    try:
        known = json.loads(record.read_text(encoding="utf-8")) == facts
    except (OSError, ValueError):
        known = False
    if not known:
        forget(cell, work)
        write_json(record, facts)
    return record.parent


def _purified(cell: Cell, suspect: Encoder, folder: Path) -> Purified:
    started = time.monotonic()
    images = clean_images(cell, suspect.image_size)
    meter = Meter(device=cell.device, precision=cell.precision, folder=folder, resume=True)
    result = cell.defense(suspect, images, trainer=meter)
    return Purified(
        encoder=result.encoder,
        history=result.history,
        images_used=len(images),
        seconds=meter.total(time.monotonic() - started),
        memory={
            "peak_memory_mib": peak_memory_mib(),
            "peak_gpu_memory_mib": peak_gpu_memory_mib(),
        },
    )


def _keep(encoder: Encoder, path: Path) -> None:
    """Write an encoder in half precision; in full where a weight is too large for that."""
    try:
        save_encoder(encoder, path, half=True)
    except RunError:
        save_encoder(encoder, path)


def _card(cell: Cell, **measured: Any) -> ResultCard:
    """A card from what is known of a cell and what was measured."""
    nothing: dict[str, Any] = {
        "images_used": 0,
        "seconds": 0.0,
        "evaluation_seconds": 0.0,
        "images_per_second": None,
        "peak_memory_mib": None,
        "peak_gpu_memory_mib": None,
    }
    environment = {
        "device": cell.device,
        "precision": cell.precision,
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "controls": cell.scenario.controls,
    }
    return ResultCard(**cell.facts() | nothing | environment | provenance() | measured)
