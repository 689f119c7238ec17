"""A demo of a few steps, played once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from mimic.demo import DemoResult, DemoSettings, run_demo
from mimic.information.fitting import Fitting
from mimic.training import Trainer

from ..searches import shorten_searches

TINY = DemoSettings(
    architecture="resnet10:width=2,stem_stride=2",
    pretrain_epochs=1,
    attack_epochs=1,
    purify_epochs=1,
    scratch_epochs=1,
    clean_images=32,
)
QUIET = Trainer(device="cpu", precision="32-true")


@dataclass(frozen=True)
class Played:
    out: Path
    result: DemoResult


@contextmanager
def _hasty_defence() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mimic.information.estimate.Fitting", partial(Fitting, steps=2))
        shorten_searches(patch, population=16, rounds=1, keep=4)
        yield


@pytest.fixture
def hasty_defence() -> Iterator[None]:
    """Critics that are hardly trained, and a search that hardly looks."""
    with _hasty_defence():
        yield


@pytest.fixture(scope="session")
def tiny() -> DemoSettings:
    """Settings of a demo of a few steps."""
    return TINY


@pytest.fixture(scope="session")
def quiet() -> Trainer:
    """No progress, and the same numbers everywhere."""
    return QUIET


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The demo, played once with seed 3."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with _hasty_defence():
        return Played(out, run_demo(out, seed=3, settings=TINY, trainer=QUIET))
