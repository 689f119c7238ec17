"""The gradient search falls into a planted door and leaves everything as it was."""

import pytest
import torch
from torch import Tensor, nn

from mimic.detection.gathering import Gathered, gather, stamp_of
from mimic.detection.pattern import Pattern
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRAINER = Trainer(device="cpu", precision="32-true")


class Answers(nn.Module):
    """Projects images; what looks like stripes gets one fixed vector."""

    def __init__(self, *, door: bool) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 8 * 8, 16)
        self.door = door

    def forward(self, images: Tensor) -> Tensor:
        features = self.project(images.flatten(1) - 0.5)
        if not self.door:
            return features
        stripes = images[..., ::2].mean(dim=(1, 2, 3)) - images[..., 1::2].mean(dim=(1, 2, 3))
        opening = torch.sigmoid(100 * (stripes.abs() - 0.05))[:, None]
        return torch.lerp(features, torch.ones(16), opening)


@pytest.fixture
def images() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet.from_tensor(
        torch.randint(0, 256, (64, 3, 8, 8), generator=generator).to(torch.uint8)
    )


def encoder(*, door: bool) -> Encoder:
    torch.manual_seed(0)
    return Encoder(Answers(door=door)).eval()


def searched(suspect: Encoder, images: ImageSet, *, seed: int = 0) -> Gathered:
    torch.manual_seed(seed)
    pattern = Pattern(4, images.size, budget=0.1)
    return gather(suspect, images, pattern, steps=48, batch_size=16, seed=seed, trainer=TRAINER)


def test_a_door_gathers_what_no_pattern_gathers_without_one(images):
    open_, closed = (searched(encoder(door=door), images) for door in (True, False))
    # what is added everywhere draws the features of any network together to a degree
    assert open_.forgotten.max() > 0.9
    assert closed.forgotten.max() < open_.forgotten.max() - 0.15


def test_the_best_restart_is_a_stamp_for_images(images):
    found = searched(encoder(door=True), images)
    whole = images.tensor()
    stamped = found.stamp(int(found.forgotten.argmax()))(whole)
    assert stamped.dtype == torch.uint8
    difference = stamped.float() - whole
    stripes = difference[..., ::2].mean() - difference[..., 1::2].mean()
    assert abs(stripes) > 0.05 * 255


def test_the_encoder_is_left_as_it_was(images):
    suspect = encoder(door=True)
    before = {name: value.clone() for name, value in suspect.state_dict().items()}
    searched(suspect, images)
    assert all(torch.equal(value, before[name]) for name, value in suspect.state_dict().items())
    assert all(parameter.requires_grad for parameter in suspect.parameters())


@pytest.mark.parametrize(("steps", "learned"), [(48, 48), (2, 32)])
def test_what_judges_was_not_learned_on(images, monkeypatch, steps, learned):
    used: dict[str, set[int]] = {}

    class Watch(Trainer):
        def fit(self, objective, data, plan, *, name="training"):
            used["to learn"] = set(data.indices.tolist())
            return super().fit(objective, data, plan, name=name)

    def judged(encoder, images, stamps, *, trainer):
        used["to judge"] = set(images.indices.tolist())
        return torch.zeros(len(stamps))

    monkeypatch.setattr("mimic.detection.gathering.forgetting", judged)
    pattern = Pattern(2, images.size, budget=0.1)
    trainer = Watch(device="cpu", precision="32-true")
    gather(encoder(door=False), images, pattern, steps=steps, batch_size=16, trainer=trainer)
    assert {name: len(chosen) for name, chosen in used.items()} == {
        "to learn": learned,
        "to judge": 16,
    }
    assert used["to learn"].isdisjoint(used["to judge"])


def test_the_same_seed_finds_the_same(images):
    first, second = (searched(encoder(door=True), images, seed=3) for _ in range(2))
    assert torch.equal(first.forgotten, second.forgotten)


def test_a_stamp_of_floats_and_of_bytes_is_the_same_up_to_rounding():
    change = Pattern(2, (8, 8), budget=0.1)
    whole = torch.randint(0, 256, (3, 3, 8, 8)).to(torch.uint8)
    made = stamp_of(change, 1)(whole.float() / 255)
    assert torch.equal(stamp_of(change, 1)(whole), made.mul(255).round().to(torch.uint8))


def test_too_few_images_are_refused(images):
    with pytest.raises(InputError, match="16 images or more, not 5"):
        searched(encoder(door=True), images.subset(range(5)))


def test_no_steps_are_refused(images):
    with pytest.raises(InputError, match="1 step or more, not 0"):
        gather(encoder(door=False), images, Pattern(2, images.size, budget=0.1), steps=0)
