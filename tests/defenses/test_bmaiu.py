from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mimic.defenses.bmaiu import Bmaiu, OwnTrigger, OwnTriggerObjective, stamp
from mimic.defenses.holdout import similarity
from mimic.detection.patches import Patches
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.losses.clone import clone_loss

from .support import Watch, identical, images, resnet, state


def patch() -> Patches:
    """Red, in the upper left quarter."""
    textures = torch.zeros(1, 3, 4, 4)
    textures[:, 0] = 1
    return Patches(torch.tensor([[0.0, 0.0, 0.5, 0.5]]), textures)


def objective(target, *, trigger_weight=1.0, clone_weight=1.0) -> OwnTriggerObjective:
    """A student that sees images without augmentation, and its teacher."""
    built = OwnTriggerObjective(
        resnet().reinitialized(0),
        resnet(),
        (8, 8),
        patch=patch(),
        target=target,
        trigger_weight=trigger_weight,
        clone_weight=clone_weight,
    )
    built.augment = nn.Identity()
    built.prepare()
    return built


def pictures(count: int, seed: int) -> ImageSet:
    """Smooth coloured blobs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    pixels = F.interpolate(coarse, size=(16, 16), mode="bilinear") * 255
    return ImageSet.from_tensor(pixels.to(torch.uint8))


def spread_out() -> Encoder:
    """An encoder that gives different images features in all directions."""
    backbone = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 64, bias=False),
        nn.BatchNorm1d(64),
    )
    encoder = Encoder(backbone, mean=(0.5,) * 3, std=(0.25,) * 3).reinitialized(1)
    with torch.no_grad():
        for _ in range(60):
            encoder(pictures(96, seed=9).tensor())
    return encoder.eval()


DEFENSE = Bmaiu(rounds=1, implant_epochs=30, stop_at=0.96, batch_size=16, learning_rate=0.01)


@cache
def phases() -> tuple[OwnTrigger, Encoder, Encoder, Encoder]:
    """An own trigger; the suspect, the student with the trigger planted, and after unlearning."""
    suspect, clean, watch = spread_out(), pictures(96, seed=0), Watch()
    trigger = DEFENSE.draw(0, suspect, clean, watch)
    student = suspect.copy().requires_grad_(True)
    DEFENSE.implant(trigger, student, suspect, clean, watch, name="own")
    implanted = student.copy()
    DEFENSE.unlearn(trigger, student, suspect, clean, watch, name="own")
    return trigger, suspect, implanted, student


HELD_OUT = pictures(64, seed=4)


def test_the_own_trigger_is_planted():
    trigger, suspect, implanted, _ = phases()
    assert trigger.success(suspect, HELD_OUT, Watch()) < 0.5
    assert trigger.success(implanted, HELD_OUT, Watch()) > 0.95


def test_the_own_trigger_is_unlearned():
    trigger, _, _, student = phases()
    assert trigger.success(student, HELD_OUT, Watch()) < 0.5


def test_clean_images_keep_their_features():
    _, suspect, implanted, student = phases()
    assert similarity(suspect, implanted, HELD_OUT, Watch()) >= 0.9
    assert similarity(suspect, student, HELD_OUT, Watch()) >= 0.9


def test_statistics_of_normalisations_stay():
    _, suspect, _, student = phases()
    before, after = (dict(encoder.named_buffers()) for encoder in (suspect, student))
    assert identical(before, after)


def test_every_image_gets_the_same_patch():
    stamped = stamp(patch(), images().tensor())
    assert bool((stamped[:, 0, :4, :4] == 1).all() and (stamped[:, 1:, :4, :4] == 0).all())


def test_nothing_is_changed_beside_the_patch():
    given = images().tensor()
    stamped = stamp(patch(), given)
    assert torch.equal(stamped[..., 4:], given[..., 4:] / 255)
    assert torch.equal(stamped[:, :, 4:], given[:, :, 4:] / 255)


def test_planting_pulls_triggered_images_to_the_target():
    target = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    built = objective(target, clone_weight=2.0)
    batch = images().tensor() / 255
    clean, triggered = built.learner(batch), built.learner(stamp(patch(), batch))
    terms = built(images().tensor())
    torch.testing.assert_close(terms["trigger"], clone_loss(triggered, target.expand(32, 32)))
    torch.testing.assert_close(terms["clone"], 2 * clone_loss(clean, built.teacher(batch)))


def test_unlearning_pulls_them_to_what_they_show_without_it():
    built = objective(None, trigger_weight=3.0)
    batch = images().tensor() / 255
    triggered = built.learner(stamp(patch(), batch))
    terms = built(images().tensor())
    torch.testing.assert_close(terms["trigger"], 3 * clone_loss(triggered, built.teacher(batch)))


def trained(**settings) -> list[str]:
    """Names of the trainings of a short run."""
    watch = Watch()
    Bmaiu(**({"epochs": 1} | settings))(resnet(), images(16), trainer=watch)
    return [training.name for training in watch.seen]


def test_planting_and_unlearning_alternate():
    assert trained(rounds=2, implant_epochs=2, stop_at=1.0) == [
        "bmaiu-1-implant-1",
        "bmaiu-1-implant-2",
        "bmaiu-1-unlearn",
        "bmaiu-2-implant-1",
        "bmaiu-2-implant-2",
        "bmaiu-2-unlearn",
    ]


def test_planting_stops_once_it_works():
    assert trained(rounds=1, stop_at=-0.99) == ["bmaiu-1-implant-1", "bmaiu-1-unlearn"]


def test_planting_can_be_left_out():
    assert trained(rounds=2, implant_epochs=0) == ["bmaiu-1-unlearn", "bmaiu-2-unlearn"]


def test_what_is_not_unlearned_is_not_planted():
    watch = Watch()
    result = Bmaiu(epochs=0)(resnet(), images(), trainer=watch)
    assert watch.seen == []
    assert identical(state(result.encoder), state(resnet()))


def test_every_round_and_every_seed_has_a_trigger_of_its_own():
    defenses = [(Bmaiu(), 0), (Bmaiu(), 1), (Bmaiu(seed=1), 0), (Bmaiu(), 0)]
    first, second, third, again = (
        defense.draw(index, resnet().eval(), images(), Watch()) for defense, index in defenses
    )
    assert torch.equal(first.patch.boxes, again.patch.boxes)
    assert torch.equal(first.target, again.target)
    assert len({tuple(t.patch.boxes.flatten().tolist()) for t in (first, second, third)}) == 3
    assert len({t.seed for t in (first, second, third)}) == 3


def test_the_target_is_a_clean_feature_of_the_suspect():
    suspect = resnet().eval()
    target = Bmaiu().draw(0, suspect, images(), Watch()).target
    features = F.normalize(suspect(images().tensor()), dim=1)
    assert (features @ target.T).max().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": -1}, "epochs and implant_epochs must be 0 or more"),
        ({"implant_epochs": -1}, "epochs and implant_epochs must be 0 or more"),
        ({"rounds": 0}, "rounds must be 1 or more"),
        ({"stop_at": 1.1}, "stop_at is a cosine"),
        ({"stop_at": float("nan")}, "stop_at is a cosine"),
        ({"unlearn_weight": -1.0}, "unlearn_weight and clone_weight"),
        ({"clone_weight": float("inf")}, "unlearn_weight and clone_weight"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        replace(Bmaiu(), **settings)
