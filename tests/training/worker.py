"""What one of several processes does in the tests: `python worker.py FOLDER CASE ...`."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from support import Classify, Contrast, Halves, Numbers, Pairs, Regress, Remember, weights

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError, InterruptedRunError
from mimic.images.imageset import ImageSet
from mimic.losses.contrastive import nt_xent
from mimic.losses.correlation import correlation_loss
from mimic.losses.gram import gram_loss
from mimic.losses.pkt import transfer_loss
from mimic.losses.relational import relational_loss
from mimic.losses.similarity import similarity_loss
from mimic.pretraining.moco import MocoObjective
from mimic.training import Plan, Trainer, processes
from mimic.training.joint import divided_batch, joint
from mimic.training.precision import open_fabric

CPU = Trainer(device="cpu", precision="32-true")
PLAN = Plan(epochs=2, batch_size=7, learning_rate=0.05, optimizer="sgd", drop_last=False)
CONTRASTED = Plan(epochs=3, batch_size=7, learning_rate=0.1, optimizer="sgd")


def own(rows: torch.Tensor) -> torch.Tensor:
    return rows.tensor_split(processes.count())[processes.rank()]


def views() -> torch.Tensor:
    """Two views of seven images: an odd number, so that parts are not of one size."""
    return torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))


def contrast(_: Path) -> Any:
    first, second = (own(view).clone().requires_grad_() for view in views())
    with divided_batch(divided=True):
        loss = nt_xent(first, second, 0.2)
    (len(first) / 7 * loss).backward()
    return {"loss": loss.detach(), "gradients": torch.stack([first.grad, second.grad])}


def pairs(_: Path) -> Any:
    """Gradients of every loss on pairs of images."""
    found = {}
    for loss in (gram_loss, similarity_loss, transfer_loss, correlation_loss, relational_loss):
        student, teacher = (own(view).clone() for view in views())
        with divided_batch(divided=True):
            value = loss(student.requires_grad_(), teacher)
        (len(student) / 7 * value).backward()
        found[loss.__name__] = student.grad
    return found


def alone(_: Path) -> Any:
    return nt_xent(*views(), 0.2)


def order(_: Path) -> Any:
    with divided_batch(divided=True):
        return joint(own(torch.arange(7.0)))


def regress(folder: Path) -> Any:
    objective = Regress()
    history = replace(CPU, folder=folder / f"of-{processes.rank()}").fit(objective, Numbers(), PLAN)
    return weights(objective.learner) | {"history": history.epochs, "images": objective._seen}


def accumulate(_: Path) -> Any:
    objective = Regress()
    replace(CPU, accumulate=3).fit(objective, Numbers(), PLAN)
    return weights(objective.learner)


def contrasted(_: Path) -> Any:
    objective = Contrast()
    history = CPU.fit(objective, Numbers(), CONTRASTED)
    return weights(objective.learner) | {"history": [e["contrastive"] for e in history.epochs]}


def whole(_: Path) -> Any:
    objective = Classify()
    CPU.fit(objective, Pairs(), Plan(epochs=2, batch_size=8))
    return weights(objective.learner)


def statistics(_: Path) -> Any:
    class Divided(Classify, divisible=True):
        """Batch normalisation and dropout, in parts."""

    objective = Divided()
    CPU.fit(objective, Pairs(), Plan(epochs=2, batch_size=8))
    return weights(objective.learner)


def halves(_: Path) -> Any:
    objective = Halves()
    plan = Plan(epochs=1, batch_size=4, learning_rate=0.1, optimizer="adamw", weight_decay=0.5)
    CPU.fit(objective, Numbers(), plan)
    return weights(objective.learner)


def draws(_: Path) -> Any:
    objective = Remember()
    CPU.fit(objective, Numbers(), Plan(epochs=1, batch_size=4))
    return objective._drawn


def queue(_: Path) -> Any:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 6))
    torch.manual_seed(processes.rank())  # what the first process has counts
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    objective = MocoObjective(Encoder(network), (8, 8), queue=16)
    pixels = torch.randint(0, 256, (20, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    images = ImageSet.from_tensor(pixels.to(torch.uint8))
    CPU.fit(objective, images, Plan(epochs=2, batch_size=5, learning_rate=0.1))
    return weights(objective.learner)


def refused(_: Path) -> Any:
    def work() -> None:
        raise InputError("the first process does not like it")

    try:
        processes.on_first(work)
    except InputError as error:
        return str(error)


def told(_: Path) -> Any:
    return processes.on_first(lambda: f"from {processes.rank()}")


def unfit(_: Path) -> Any:
    found = []
    for change in ({"sync_batch_norm": True}, {"device": "cpu:1"}):
        try:
            replace(CPU, **change).fit(Regress(), Numbers(), PLAN)
        except InputError as error:
            found.append(str(error))
    return found


def interrupted(folder: Path) -> Any:
    """The last process alone is asked to stop."""
    last = processes.rank() == processes.count() - 1
    objective = Regress(on_step=3, act=lambda: last and os.kill(os.getpid(), signal.SIGTERM))
    try:
        replace(CPU, folder=folder / "handed-over").fit(objective, Numbers(), PLAN)
    except InterruptedRunError:
        return objective._steps


def resumed(folder: Path) -> Any:
    """Only the first process can read the folder."""
    place = folder / "taken-over" if processes.is_first() else folder / "nothing"
    objective = Regress()
    trainer = replace(CPU, folder=place, resume=True)
    history = trainer.fit(objective, Numbers(), PLAN)
    return weights(objective.learner) | {"steps": objective._steps, "history": history.epochs}


def scarce(_: Path) -> Any:
    try:
        CPU.fit(Regress(room=2), Numbers(), PLAN)
    except RuntimeError as error:
        return str(error)


CASES: dict[str, Callable[[Path], Any]] = {
    case.__name__: case
    for case in (
        *(contrast, alone, order, regress, accumulate, contrasted, whole, statistics, halves),
        *(pairs, draws, queue, refused, told, unfit, interrupted, resumed, scarce),
    )
}


def work(known: dict[str, Callable[[Path], Any]], folder: str, *cases: str) -> None:
    """Write down what this process finds in each case."""
    open_fabric("cpu", "32-true")
    for case in cases:
        torch.save(known[case](Path(folder)), Path(folder, f"{case}-{processes.rank()}.pt"))


if __name__ == "__main__":
    work(CASES, *sys.argv[1:])
