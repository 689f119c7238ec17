"""Checkpoints of a running training: saved whole, resumed exactly."""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mimic.errors import InputError
from mimic.files import atomic_write
from mimic.training.history import Tally
from mimic.training.objective import Data, Objective
from mimic.training.plan import Plan

_CHUNK = 1024
_SAMPLED_IMAGES = 32
_YOUNGER = ("betas", "milestones")
"""Settings of a plan that came after checkpoints did: at their defaults they change no key."""


@dataclass(kw_only=True)
class Position:
    """Where a training is.

    Attributes:
        step: steps done.
        epochs: records of the finished epochs.
        tally: sums over the part of the current epoch that is done.
    """

    step: int
    epochs: list[dict[str, float]]
    tally: Tally


def fingerprint(plan: Plan, data: Data, objective: Objective) -> str:
    """Short hash of what must not differ between a run and its continuation.

    It covers the plan, the kind of objective and its plain settings, the shapes of the learner, the
    weights of what is frozen (a teacher), and the images: all of them, where they are streamed 32
    spread over the set, where they are not whole numbers none (features may differ in their last
    bits from run to run).
    """
    state = objective.learner.state_dict()
    frozen = {k: v for k, v in objective.state_dict().items() if not k.startswith("learner.")}
    facts = {
        "plan": _plan_facts(plan),
        "images": len(data),
        "content": _data_digest(data),
        "objective": type(objective).__qualname__,
        "settings": _settings(objective),
        "frozen": _weights_digest(frozen),
        "shapes": {k: list(v.shape) for k, v in state.items() if isinstance(v, Tensor)},
    }
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save_state(
    path: Path,
    position: Position,
    *,
    learner: dict[str, Any],
    optimizer: dict[str, Any],
    key: str,
) -> None:
    """Write position and the states of learner and optimizer, atomically."""
    state = {
        "step": position.step,
        "epochs": position.epochs,
        "tally": asdict(position.tally),
        "learner": learner,
        "optimizer": optimizer,
        "fingerprint": key,
    }
    # torch hides a full disk behind its own RuntimeError, so that Python writes the bytes
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(
    path: Path,
    *,
    learner: nn.Module,
    optimizer: torch.optim.Optimizer,
    key: str,
    data: bytes | None = None,
) -> Position:
    """Restore learner and optimizer in place and return the position.

    Args:
        path: of the checkpoint.
        learner: in which it is restored.
        optimizer: likewise.
        key: the fingerprint of this run.
        data: what the file holds, where another process has read it.

    Raises:
        InputError: the checkpoint is unreadable or belongs to a run with other settings.
    """
    try:
        source = path if data is None else io.BytesIO(data)
        state: dict[str, Any] = torch.load(source, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
        position = Position(
            step=int(state["step"]), epochs=list(state["epochs"]), tally=Tally(**state["tally"])
        )
    except Exception as error:  # torch raises many types for a damaged file
        raise InputError(
            f"'{path}' cannot be resumed ({error}); delete it to start anew"
        ) from error
    if found != key:
        raise InputError(
            f"'{path}' belongs to a run with other settings or images; "
            "use the same ones to resume, or another folder to start anew"
        )
    learner.load_state_dict(state["learner"])
    optimizer.load_state_dict(state["optimizer"])
    return position


def _plan_facts(plan: Plan) -> dict[str, Any]:
    usual = {field.name: field.default for field in fields(plan) if field.name in _YOUNGER}
    return {
        name: value
        for name, value in asdict(plan).items()
        if name not in usual or value != usual[name]
    }


def _settings(objective: Objective) -> dict[str, str]:
    """Numbers and words among the attributes of an objective; six digits, as in a message."""
    plain = {k: v for k, v in vars(objective).items() if k != "training" and not k.startswith("_")}
    return {
        name: f"{value:.6g}" if isinstance(value, float) else str(value)
        for name, value in plain.items()
        if isinstance(value, bool | int | float | str)
    }


def _data_digest(data: Data) -> str:
    count = len(data)
    looked_at = torch.arange(count)
    if data.streamed:
        looked_at = looked_at[:: max(1, count // _SAMPLED_IMAGES)]
    digest = hashlib.sha256()
    for positions in looked_at.split(_CHUNK):
        for tensor in _tensors(data.batch(positions)):
            digest.update(str(tuple(tensor.shape)).encode())
            if not tensor.is_floating_point() and not tensor.is_complex():
                digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _weights_digest(state: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, tensor in state.items():
        if isinstance(tensor, Tensor):
            data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(name.encode() + data.numpy().tobytes())
    return digest.hexdigest()[:16]


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict):
        yield from _tensors(list(batch.values()))
    elif isinstance(batch, list | tuple):
        for item in batch:
            yield from _tensors(item)
