"""What one of several processes does in the tests of divided weights; see `worker.py`."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from support import Copy, Halves, Numbers, Pairs, blocks, weights
from worker import CPU, work

from mimic.defenses.mimic import Mimic
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining import METHODS
from mimic.training import Plan, processes
from mimic.training.sharding import own_part_of, shard

COPIED = Plan(epochs=2, batch_size=7, learning_rate=0.01, drop_last=False)


def noise() -> ImageSet:
    pixels = torch.randint(0, 256, (20, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    return ImageSet.from_tensor(pixels.to(torch.uint8))


def copied(folder: Path) -> Any:
    """Weights are divided; one process alone may go on with what is saved, and the other way."""
    objective = Copy()
    place = folder / f"copied-{processes.rank()}"
    history = replace(CPU, fsdp=True, folder=place).fit(objective, Pairs(), COPIED)
    return weights(objective.learner) | {"history": [e["end"] for e in history.epochs]}


def copied_on(folder: Path) -> Any:
    place = folder / "copied-alone" if processes.is_first() else folder / "nothing"
    objective = Copy()
    trainer = replace(CPU, fsdp=True, activation_checkpointing=True, folder=place, resume=True)
    trainer.fit(objective, Pairs(), COPIED)
    return weights(objective.learner)


def encoder() -> Encoder:
    torch.manual_seed(0)
    return load_encoder(build_backbone("resnet10:width=4,stem_stride=2"), image_size=8)


def pretrained(name: str, **settings: Any) -> dict[str, Any]:
    method = replace(METHODS[name](), epochs=2, batch_size=10, learning_rate=0.01)
    with_queue = replace(method, queue=16) if name == "moco" else method
    made = with_queue(encoder(), noise(), trainer=replace(CPU, **settings))
    return weights(made)


def methods(_: Path) -> Any:
    """Every kind of pre-training with whole weights and with divided ones."""
    return {
        f"{name}-{fsdp}": pretrained(name, fsdp=fsdp) for name in METHODS for fsdp in (False, True)
    }


def mimicked(_: Path) -> Any:
    method = Mimic(
        epochs=2, batch_size=10, searched_share=0.0, recoloured_share=0.0, waved_share=0.0
    )
    return {
        str(fsdp): weights(method(encoder(), noise(), trainer=replace(CPU, fsdp=fsdp)).encoder)
        for fsdp in (False, True)
    }


def held(_: Path) -> Any:
    """Numbers that this process holds of a network, before and after it is divided."""
    network = blocks(seed=0)
    before = sum(weight.numel() for weight in network.parameters())
    shard(network, torch.device("cpu"))
    return before, sum(own_part_of(weight).numel() for weight in network.parameters())


def refused(_: Path) -> Any:
    try:
        replace(CPU, fsdp=True).fit(Halves(), Numbers(), COPIED)
    except InputError as error:
        return str(error)


CASES: dict[str, Callable[[Path], Any]] = {
    case.__name__: case for case in (copied, copied_on, methods, mimicked, held, refused)
}

if __name__ == "__main__":
    work(CASES, *sys.argv[1:])
