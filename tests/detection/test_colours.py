import pytest
import torch
from torch import Tensor

from mimic.detection.colours import BUDGET, ColourMaps, colour_moments, random_colour_maps


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def maps(images: Tensor) -> ColourMaps:
    torch.manual_seed(0)
    return random_colour_maps(64, colour_moments(images))


def literal_change(change: Tensor, colour: Tensor) -> Tensor:
    """What is added to one colour, in float64."""
    middle = colour.double() - 0.5
    return change[:, :3].double() @ middle + change[:, 3].double()


def test_every_pixel_of_an_image_is_changed_by_its_own_map(maps, images):
    laid, mask = maps[torch.arange(6)].lay(images)
    colour = images[3, :, 2, 4]
    expected = (colour.double() + literal_change(maps.changes[3], colour)).clamp(0, 1)
    assert torch.allclose(laid[3, :, 2, 4].double(), expected, atol=1e-6)
    assert torch.equal(mask, torch.ones(6, 1, 5, 7))


def test_images_stay_in_range_and_the_given_ones_as_they_are(maps, images):
    before = images.clone()
    laid, _ = maps[torch.arange(6)].lay(images)
    assert laid.dtype == images.dtype
    assert torch.equal(laid, laid.clamp(0, 1))
    assert torch.equal(images, before)


def test_the_cost_is_the_root_mean_square_of_the_change(maps, images):
    colours = images.double().transpose(0, 1).flatten(1).T
    added = torch.stack([literal_change(maps.changes[9], colour) for colour in colours])
    assert maps.costs[9].item() == pytest.approx(added.square().mean().sqrt().item(), abs=1e-6)


def test_no_map_is_over_the_budget(maps):
    for population in (maps, maps.varied(), maps.varied().varied()):
        assert population.costs.max() <= BUDGET * (1 + 1e-5)


def test_bounding_changes_only_what_is_over_the_budget(maps):
    weak = ColourMaps(0.5 * maps.changes, maps.moments)
    assert torch.equal(weak.bounded().changes, weak.changes)
    strong = ColourMaps(10 * maps.changes, maps.moments).bounded()
    directions = [
        found.changes / found.changes.norm(dim=(1, 2), keepdim=True) for found in (strong, maps)
    ]
    assert torch.allclose(*directions, atol=1e-5)


def test_maps_of_one_axis_leave_other_colours_alone(images):
    """Half of them are of rank one: what is at right angles to the axis does not change."""
    torch.manual_seed(0)
    changes = random_colour_maps(32, colour_moments(images)).changes[:16, :, :3]
    assert torch.linalg.matrix_rank(changes, atol=1e-5).tolist() == [1] * 16


def test_chosen_and_joined_maps_are_those_that_were_there(maps):
    chosen = maps[torch.tensor([4, 4, 0])]
    assert torch.equal(chosen.changes, maps.changes[[4, 4, 0]])
    both = chosen.joined(maps)
    assert len(both) == 67
    assert torch.equal(both[torch.tensor([3])].changes, maps.changes[:1])


def test_neighbours_differ_from_their_parents_and_from_one_another(maps):
    twins = maps[torch.tensor([5, 5])].varied()
    assert not torch.allclose(twins.changes[0], twins.changes[1])
    assert not torch.allclose(twins.changes[0], maps.changes[5])
