import math

import pytest
import torch
from torch import Tensor

from mimic.attacks.triggers import parse_trigger
from mimic.detection.waves import BUDGET, Waves, random_waves


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def waves() -> Waves:
    torch.manual_seed(0)
    return random_waves(64)


def literal_value(waves: Waves, index: int, row: int, column: int) -> Tensor:
    """What candidate `index` adds to one pixel, in float64."""
    total = torch.zeros(3, dtype=torch.float64)
    for rates, phases, colour in zip(
        waves.rates[index], waves.phases[index], waves.colours[index], strict=True
    ):
        height = math.cos(math.pi * float(rates[0]) * (row + 0.5) + float(phases[0]))
        width = math.cos(math.pi * float(rates[1]) * (column + 0.5) + float(phases[1]))
        total += colour.double() * height * width
    return total


def test_every_image_gets_its_own_waves(waves, images):
    laid, mask = waves[torch.arange(6)].lay(images)
    expected = (images[3, :, 2, 4].double() + literal_value(waves, 3, 2, 4)).clamp(0, 1)
    assert torch.allclose(laid[3, :, 2, 4].double(), expected, atol=1e-6)
    assert torch.equal(mask, torch.ones(6, 1, 5, 7))


def test_the_trigger_of_ctrl_is_such_a_pair():
    peak = 200 / 255 * 2 / 32
    colour = peak * torch.tensor([1.14, -0.977, 2.029])
    rates = torch.tensor([[15.0, 15.0], [31.0, 31.0]]) / 32
    ctrl = Waves(rates[None], torch.zeros(1, 2, 2), colour.expand(1, 2, 3))
    grey = torch.full((1, 3, 32, 32), 0.5)
    expected = parse_trigger("ctrl:200")(grey)
    assert torch.allclose(ctrl.lay(grey)[0], expected, atol=2e-3)


def test_images_stay_in_range_and_the_given_ones_as_they_are(waves, images):
    before = images.clone()
    laid, _ = waves[torch.arange(6)].lay(images)
    assert torch.equal(laid, laid.clamp(0, 1))
    assert torch.equal(images, before)


def test_the_cost_is_the_root_mean_square_of_what_is_added(waves):
    values = [literal_value(waves, 9, row, column) for row in range(32) for column in range(32)]
    expected = torch.stack(values).square().mean().sqrt().item()
    assert waves.costs[9].item() == pytest.approx(expected, abs=1e-6)


def test_no_candidate_is_over_the_budget(waves):
    for population in (waves, waves.varied(), waves.varied().varied()):
        assert population.costs.max() <= BUDGET * (1 + 1e-5)


def test_rates_stay_rates(waves):
    for _ in range(20):
        waves = waves.varied()
        assert waves.rates.min() >= 0
        assert waves.rates.max() <= 1


def test_half_of_the_random_ones_are_single_waves(waves):
    single = (waves.colours[:, 1:] == 0).flatten(1).all(dim=1)
    assert single.tolist() == [True] * 32 + [False] * 32


def test_chosen_and_joined_waves_are_those_that_were_there(waves, images):
    chosen = waves[torch.tensor([4, 4, 0])]
    both = chosen.joined(waves)
    assert len(both) == 67
    assert torch.equal(both[torch.tensor([3])].pictures((8, 8)), waves.pictures((8, 8))[:1])
    assert torch.equal(chosen.pictures((8, 8))[1], waves.pictures((8, 8))[4])


def test_neighbours_differ_from_their_parents_and_from_one_another(waves):
    twins = waves[torch.tensor([5, 5])].varied().pictures((8, 8))
    assert not torch.allclose(twins[0], twins[1])
    assert not torch.allclose(twins[0], waves.pictures((8, 8))[5])
