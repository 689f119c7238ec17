import pytest
import torch

from mimic.attacks.triggers import Grid
from mimic.errors import InputError


def _content(size: int, seed: int = 0) -> torch.Tensor:
    return Grid(size=size, row=0, column=0, seed=seed).content.double()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [50, 80, 224])
def test_its_corners_are_saturated(size, seed):
    corners = _content(size, seed)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert set(corners.flatten().tolist()) <= {0.0, 255.0}


def test_at_its_drawn_size_colours_change_smoothly():
    # From one centre of a cell to the next there are 20 pixels, and at most 255 levels.
    assert _content(80).diff(dim=2).abs().max() <= 255 / 20 + 1


@pytest.mark.parametrize("size", [8, 20, 160])
def test_another_size_is_the_same_picture(size):
    means = _content(size).mean(dim=(1, 2))
    assert torch.allclose(means, _content(80).mean(dim=(1, 2)), atol=2)


def test_another_seed_has_other_colours():
    assert not torch.equal(_content(8, seed=1), _content(8, seed=2))


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"size": 0}, "size"), ({"size": 1025}, "size"), ({"seed": -1}, "seed"), ({"row": -1}, "row")],
)
def test_settings_out_of_range_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        Grid(**{"size": 8, "row": 0, "column": 0, **settings})


def test_it_says_what_and_where_it_is():
    expected = (
        "a grid of blurred random colours (seed 3) of 8x8 pixels, rows 2 to 9, columns 5 to 12"
    )
    assert Grid(size=8, row=2, column=5, seed=3).describe() == expected
