import pytest
import torch

from mimic.attacks.controllers import DOWN, UP, Controllers, adjusted

SOUND, WEAK = (-0.97, -0.95, -0.95), (-0.95, -0.95, -0.95)


@pytest.mark.parametrize(
    ("losses", "concentration", "expected"),
    [
        (SOUND, 0.7, (0.1 * UP, 0.001 / DOWN)),
        (SOUND, 0.55, (0.1 * UP, 0.001 * UP)),
        (SOUND, 0.4, (0.1, 0.001 * UP)),
        (WEAK, 0.7, (0.1 / DOWN, 0.001 / DOWN)),
        (WEAK, 0.4, (0.1 / DOWN, 0.001 / DOWN)),
        ((-0.97, -0.89, -0.95), 0.4, (0.1 / DOWN, 0.001 / DOWN)),
        ((-0.97, -0.95, -0.89), 0.4, (0.1 / DOWN, 0.001 / DOWN)),
    ],
    ids=["tight", "spread", "widely spread", "weak", "weak, spread", "reference", "utility"],
)
def test_the_weights_follow_the_attack(losses, concentration, expected):
    assert adjusted((0.1, 0.001), losses, concentration) == pytest.approx(expected, rel=1e-12)


def test_falling_is_faster_than_rising():
    assert pytest.approx(1.3217, abs=1e-4) == DOWN


@pytest.fixture
def controllers() -> Controllers:
    """Two steps per epoch; the first epoch leaves the weights alone."""
    return Controllers((0.5, 0.25), steps_per_epoch=2, fixed_until=1)


def _count(controllers: Controllers, *effectiveness: float, concentration: float = 0.7) -> None:
    for value in effectiveness:
        controllers.count(torch.tensor([value, -0.95, -0.95]), torch.tensor(concentration))


def test_the_controllers_wait_for_the_epoch_that_frees_them(controllers):
    _count(controllers, -0.97, -0.97, -0.97)
    assert controllers.weights.tolist() == [0.5, 0.25]


def test_the_controllers_act_at_the_end_of_an_epoch(controllers):
    _count(controllers, -0.97, -0.97, -0.97, -0.97)
    assert controllers.weights.tolist() == pytest.approx([0.5 * UP, 0.25 / DOWN])


def test_the_controllers_look_at_the_mean_of_this_epoch_alone(controllers):
    _count(controllers, -0.1, -0.1, -0.93, -0.99 - 0.01)
    assert controllers.weights.tolist() == pytest.approx([0.5 * UP, 0.25 / DOWN])


def test_the_controllers_look_at_the_concentration_of_the_last_batch(controllers):
    _count(controllers, -0.97, -0.97, -0.97)
    _count(controllers, -0.97, concentration=0.55)
    assert controllers.weights.tolist() == pytest.approx([0.5 * UP, 0.25 * UP])


def test_epochs_are_counted_from_one(controllers):
    epochs = [controllers.epoch]
    for _ in range(4):
        _count(controllers, -1.0)
        epochs.append(controllers.epoch)
    assert epochs == [1, 1, 2, 2, 3]
