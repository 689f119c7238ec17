"""Patches: where they lie, what they show, how they vary."""

import torch

from mimic.detection.patches import GRID, LARGEST, SMALLEST, Patches, random_patches


def one(top: float, left: float, height: float, width: float, value: float) -> Patches:
    return Patches(
        torch.tensor([[top, left, height, width]]), torch.full((1, 3, GRID, GRID), value)
    )


def test_a_patch_covers_exactly_its_box():
    laid, mask = one(0.25, 0.5, 0.5, 0.25, 1.0).lay(torch.zeros(1, 3, 8, 16))
    expected = torch.zeros(1, 1, 8, 16)
    expected[..., 2:6, 8:12] = 1
    assert torch.equal(mask, expected)
    assert torch.equal(laid, expected.expand(-1, 3, -1, -1))


def test_pixels_outside_the_patch_stay_bit_for_bit():
    torch.manual_seed(0)
    images = torch.rand(32, 3, 10, 14)
    laid, mask = random_patches(32).lay(images)
    outside = mask.expand_as(images) == 0
    assert torch.equal(laid[outside], images[outside])


def test_the_texture_is_laid_cell_by_cell():
    texture = torch.rand(1, 3, GRID, GRID)
    laid, _ = Patches(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), texture).lay(torch.zeros(1, 3, 8, 8))
    assert torch.equal(laid, texture.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_variation_keeps_patches_inside_the_image_and_the_limits():
    torch.manual_seed(0)
    patches = random_patches(200)
    for _ in range(20):
        patches = patches.varied(shift=0.2)
    corners, sides = patches.boxes[:, :2], patches.boxes[:, 2:]
    assert bool((sides >= SMALLEST).all())
    assert bool((sides <= LARGEST).all())
    assert bool((corners >= 0).all())
    assert bool((corners + sides <= 1 + 1e-6).all())
    assert bool(((patches.textures >= 0) & (patches.textures <= 1)).all())


def test_areas_are_height_times_width():
    assert torch.allclose(one(0, 0, 0.5, 0.25, 0.0).costs, torch.tensor([0.125]))


def test_join_keeps_the_order():
    both = one(0, 0, 0.5, 0.5, 0.0).joined(one(0, 0, 0.1, 0.1, 1.0))
    assert len(both) == 2
    assert both.boxes[1, 2] == torch.tensor(0.1)


def test_patches_around_a_place_have_their_centres_there_and_stay_inside():
    torch.manual_seed(0)
    boxes = random_patches(500, (0.8, 0.1, 1.0, 0.3)).boxes
    corners, sides = boxes[:, :2], boxes[:, 2:]
    assert bool((corners >= 0).all())
    assert bool((corners + sides <= 1 + 1e-6).all())
    at_the_edge = (corners == 0) | (corners + sides >= 1 - 1e-6)
    centres = corners + sides / 2
    inside = (centres >= torch.tensor([0.8, 0.1])) & (centres <= torch.tensor([1.0, 0.3]))
    assert bool((inside | at_the_edge).all())
    assert 50 < int(inside.all(dim=1).sum()) < 500
