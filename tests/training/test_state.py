"""Checkpoints are whole or absent."""

import errno
from pathlib import Path

import pytest
import torch
from torch import nn

from mimic.errors import RunError
from mimic.images.imageset import ImageSet
from mimic.training import Objective, Plan
from mimic.training.history import Tally
from mimic.training.state import Position, fingerprint, load_state, save_state

POSITION = Position(step=7, epochs=[{"epoch": 1, "loss": 0.5}], tally=Tally({"loss": 2.0}, 4, 0.1))


def save(path: Path, linear: nn.Linear) -> None:
    optimizer = torch.optim.Adam(linear.parameters())
    states = {"learner": linear.state_dict(), "optimizer": optimizer.state_dict()}
    save_state(path, POSITION, **states, key="key")


def test_a_position_comes_back_as_it_was(tmp_path):
    linear = nn.Linear(2, 2)
    save(tmp_path / "a.ckpt", linear)
    optimizer = torch.optim.Adam(linear.parameters())
    loaded = load_state(tmp_path / "a.ckpt", learner=linear, optimizer=optimizer, key="key")
    assert loaded == POSITION


def test_a_full_disk_keeps_the_older_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    save(path, nn.Linear(2, 2))
    before = path.read_bytes()

    def full(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match="disk is full"):
        save(path, nn.Linear(2, 2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Distilling(Objective):
    """One weight that learns, one that is frozen."""

    def __init__(self, frozen: float) -> None:
        super().__init__()
        self.learner = nn.Linear(2, 2)
        self.teacher = nn.Linear(2, 2).requires_grad_(False)
        nn.init.constant_(self.teacher.weight, frozen)
        nn.init.zeros_(self.teacher.bias)

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"match": (self.learner(batch) - self.teacher(batch)).square().mean()}


def test_another_teacher_makes_another_run():
    images = ImageSet.from_tensor(torch.zeros(4, 3, 2, 2, dtype=torch.uint8))
    plan = Plan(epochs=1)
    first, again, other = (fingerprint(plan, images, Distilling(w)) for w in (1.0, 1.0, 2.0))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("plan", "key"),
    [
        (Plan(epochs=1), "036cb31a206f00e2"),
        (Plan(epochs=2, optimizer="sgd", schedule="constant"), "18947d41cb23db80"),
    ],
    ids=["adam", "sgd"],
)
def test_checkpoints_from_before_betas_and_milestones_keep_their_key(plan, key):
    images = ImageSet.from_tensor(torch.zeros(4, 3, 2, 2, dtype=torch.uint8))
    assert fingerprint(plan, images, Distilling(1.0)) == key


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"betas": (0.5, 0.9)}),
        ({"betas": (0.5, 0.99)}, {"betas": (0.5, 0.9)}),
        (
            {"schedule": "steps", "milestones": ((2, 0.1),)},
            {"schedule": "steps", "milestones": ((3, 0.1),)},
        ),
    ],
    ids=["usual betas", "betas", "milestones"],
)
def test_other_betas_or_milestones_make_another_run(first, second):
    images = ImageSet.from_tensor(torch.zeros(4, 3, 2, 2, dtype=torch.uint8))
    keys = {fingerprint(Plan(epochs=5, **s), images, Distilling(1.0)) for s in (first, second)}
    assert len(keys) == 2


def test_one_other_image_anywhere_makes_another_run():
    pixels = torch.zeros(3000, 3, 2, 2, dtype=torch.uint8)
    changed = pixels.clone()
    changed[2999, 0, 0, 0] = 1
    sets = (ImageSet.from_tensor(pixels), ImageSet.from_tensor(changed))
    first, other = (fingerprint(Plan(epochs=1), images, Distilling(1.0)) for images in sets)
    assert first != other


def test_of_streamed_images_only_some_are_read():
    asked: list[int] = []

    def read(chosen):
        asked.extend(chosen)
        return torch.zeros(len(chosen), 3, 2, 2, dtype=torch.uint8)

    images = ImageSet(read=read, indices=torch.arange(3200), size=(2, 2), streamed=True)
    fingerprint(Plan(epochs=1), images, Distilling(1.0))
    assert asked == list(range(0, 3200, 100))
