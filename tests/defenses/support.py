"""Suspects, images and a trainer that watches, all tiny."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.information.fitting import Fitting
from mimic.information.localize import localize
from mimic.training import History, Objective, Plan, Trainer

State = dict[str, Tensor]


def state(module: nn.Module) -> State:
    """A copy of everything that a module holds, constants included."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in tensors}


def identical(first: State, second: State) -> bool:
    """Whether two states agree bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def batches_counted(module: nn.Module) -> list[int]:
    """How many batches each batch normalisation has counted."""
    return [
        int(m.num_batches_tracked)
        for m in module.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm)
    ]


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training; `before`, `after` and `gradients` are of all that is not trained: the teacher.

    `counted` says how many batches each batch normalisation of the learner has counted.
    """

    name: str
    steps: int
    counted: list[int]
    before: State
    after: State
    gradients: list[str]


@dataclass(frozen=True, kw_only=True)
class Watch(Trainer):
    """A trainer on the CPU that writes down what each training does to the modules."""

    device: str = "cpu"
    precision: str = "32-true"
    seen: list[Training] = field(default_factory=list)

    def fit(
        self, objective: Objective, data: ImageSet, plan: Plan, *, name: str = "training"
    ) -> History:
        before, counted = frozen(objective), batches_counted(objective.learner)
        history = super().fit(objective, data, plan, name=name)
        rises = [
            now - then
            for now, then in zip(batches_counted(objective.learner), counted, strict=True)
        ]
        own = {id(parameter) for parameter in objective.learner.parameters()}
        self.seen.append(
            Training(
                name=name,
                steps=history.steps,
                counted=rises,
                before=before,
                after=frozen(objective),
                gradients=[
                    key
                    for key, parameter in objective.named_parameters()
                    if id(parameter) not in own and parameter.grad is not None
                ],
            )
        )
        return history


def frozen(objective: Objective) -> State:
    """The state of all that an objective owns but does not train: the teacher.

    A learner may be part of another module of the objective, and goes by two names then.
    """
    own = {id(one) for one in (*objective.learner.parameters(), *objective.learner.buffers())}
    named = (
        *objective.named_parameters(remove_duplicate=False),
        *objective.named_buffers(remove_duplicate=False),
    )
    trained = {name for name, one in named if id(one) in own}
    return {k: v for k, v in state(objective).items() if k not in trained}


def images(count: int = 32, size: tuple[int, int] = (8, 8)) -> ImageSet:
    """Noise with labels that nobody should look at."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
    return ImageSet.from_tensor(pixels, torch.arange(count), class_names=("secret",))


def resnet() -> Encoder:
    """A ResNet with statistics of its own, a frozen weight, partly in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        suspect = Encoder(build_backbone("resnet10:width=4"), mean=(0.5,) * 3, std=(0.2,) * 3)
        suspect(images().tensor())
    suspect.eval().backbone.bn1.train()
    suspect.backbone.conv1.weight.requires_grad_(False)
    return suspect


class OwnNetwork(nn.Module):
    """A user's own network of two blocks, which knows nothing of mimic."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images)).mean(dim=(2, 3))


@contextmanager
def hasty_localization() -> Iterator[None]:
    """Localise with two steps per critic, where a defence localises."""
    hasty = partial(localize, folds=2, fitting=Fitting(steps=2))
    with pytest.MonkeyPatch.context() as patch:
        for module in ("mimic", "published"):
            patch.setattr(f"mimic.defenses.{module}.localize", hasty, raising=False)
        yield
