"""A tiny learner with everything that makes resuming hard, and data to train it on."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mimic.encoders.stages import tap
from mimic.losses.contrastive import nt_xent
from mimic.training import Objective


@dataclass
class Pairs:
    """Inputs and labels; optionally claiming to be slow to read."""

    streamed: bool = False
    count: int = 50

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.inputs = torch.randn(self.count, 3, 4, 4, generator=generator)
        self.labels = torch.randint(0, 3, (self.count,), generator=generator)

    def __len__(self) -> int:
        return self.count

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.inputs[positions], self.labels[positions]


class Classify(Objective):
    """Convolution, batch normalisation and dropout, with a frozen teacher beside them.

    At step `signal_at` (counted from 1) the process sends `number` to itself; at step `spoil_at`
    the term "distance" becomes NaN.
    """

    def __init__(
        self,
        *,
        signal_at: int = 0,
        number: int = signal.SIGTERM,
        spoil_at: int = 0,
        distance_weight: float = 0.1,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.learner = nn.Sequential(
                nn.Conv2d(3, 6, 3),
                nn.BatchNorm2d(6),
                nn.ReLU(),
                nn.Flatten(),
                nn.Dropout(0.5),
                nn.Linear(24, 3),
            )
            self.teacher = nn.Sequential(nn.Conv2d(3, 3, 4), nn.BatchNorm2d(3), nn.Flatten())
        self.distance_weight = distance_weight
        self._signal_at, self._number, self._spoil_at = signal_at, number, spoil_at
        self._steps = 0

    def forward(self, batch: Any) -> dict[str, Tensor]:
        self._steps += 1
        if self._steps == self._signal_at:
            os.kill(os.getpid(), self._number)
        inputs, labels = batch
        scores = self.learner(inputs)
        distance = self.distance_weight * (scores - self.teacher(inputs).detach()).square().mean()
        if self._steps == self._spoil_at:
            distance = distance * float("nan")
        return {"classes": nn.functional.cross_entropy(scores, labels), "distance": distance}


class Numbers:
    """Twenty-two vectors of four numbers in memory."""

    streamed = False

    def __init__(self) -> None:
        self.rows = torch.randn(22, 4, generator=torch.Generator().manual_seed(4))

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: Tensor) -> Tensor:
        return self.rows[positions]


def _linear(outputs: int) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        return nn.Linear(4, outputs)


class Regress(Objective, divisible=True):
    """A mean over images without anything random; remembers how many it saw at a time.

    Above `room` images at a time memory runs out; at step `on_step` it does `act`.
    """

    def __init__(
        self, *, room: int = 1000, on_step: int = 0, act: Callable[[], Any] = lambda: None
    ) -> None:
        super().__init__()
        self.learner = _linear(3)
        self._seen: list[int] = []
        self._room, self._on_step, self._act = room, on_step, act
        self._steps = 0

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        self._seen.append(len(batch))
        if self._steps + 1 == self._on_step:
            self._act()
        if len(batch) > self._room:
            raise torch.OutOfMemoryError("this test has little memory")
        found = self.learner(batch)
        return {
            "square": (found - batch[:, :3].square()).square().mean(),
            "length": 0.1 * found.abs().mean(),
        }

    def after_step(self) -> None:
        self._steps += 1


class Residual(nn.Module):
    """A block: convolution, and optionally batch normalisation and dropout, beside a shortcut."""

    def __init__(self, *, noisy: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(6, 6, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(6) if noisy else nn.Identity()
        self.dropout = nn.Dropout(0.5 if noisy else 0.0)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.dropout(self.normalisation(self.convolution(maps)).relu())


def blocks(*, seed: int, noisy: bool = False) -> nn.Sequential:
    """A small residual network of two blocks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chain = nn.Sequential(Residual(noisy=noisy), Residual(noisy=noisy))
        return nn.Sequential(nn.Conv2d(3, 6, 3), chain, nn.Flatten(), nn.Linear(24, 3))


class Copy(Objective, divisible=True, blockwise=True):
    """A residual network learns what another one puts out, at the end and after its first block."""

    def __init__(self, *, noisy: bool = False) -> None:
        super().__init__()
        self.learner = blocks(seed=7, noisy=noisy)
        self.teacher = blocks(seed=8).requires_grad_(False)

    def forward(self, batch: Any) -> dict[str, Tensor]:
        images, _ = batch
        with torch.no_grad(), tap(self.teacher, ["1.0"]) as wanted_maps:
            wanted = self.teacher(images)
        with tap(self.learner, ["1.0"]) as maps:
            found = self.learner(images)
        return {
            "end": (found - wanted).square().mean(),
            "stage": (maps["1.0"] - wanted_maps["1.0"]).square().mean(),
        }


class Contrast(Objective, divisible=True):
    """NT-Xent between projections of a vector and of the same one backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.learner = _linear(3)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"contrastive": nt_xent(self.learner(batch), self.learner(batch.flip(1)), 0.2)}


class Halves(Objective, divisible=True):
    """Images of a first number above 0 train one layer, others another, and nobody the third."""

    def __init__(self) -> None:
        super().__init__()
        self.learner = nn.ModuleList([_linear(1), _linear(1), _linear(1)])

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        high = batch[:, 0] > 0
        total = torch.zeros(())
        for layer, rows in zip(self.learner, (batch[high], batch[~high]), strict=False):
            if len(rows) > 0:
                total = total + layer(rows).square().sum()
        return {"total": total / len(batch) + 0 * batch.sum()}


class Remember(Objective, divisible=True):
    """Writes down a random number of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.learner = _linear(1)
        self._drawn: list[float] = []

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        self._drawn.append(float(torch.rand(())))
        return {"mean": self.learner(batch).mean()}


def weights(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the state of a module."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def identical(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two states agree bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
