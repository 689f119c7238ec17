import pytest
import torch

from mimic.errors import InputError
from mimic.losses.maps import TokenGrid, as_map, token_grid


def test_a_map_stays_as_it_is():
    feature_map = torch.rand(2, 3, 4, 5)
    assert as_map(feature_map) is feature_map


def test_tokens_become_a_column():
    tokens = torch.rand(2, 7, 3)
    columns = as_map(tokens)
    assert columns.shape == (2, 3, 7, 1)
    assert torch.equal(columns[1, :, 4, 0], tokens[1, 4])


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5, 6)])
def test_another_number_of_dimensions_is_refused(shape):
    with pytest.raises(InputError, match=r"not \(2, 3"):
        as_map(torch.rand(shape))


@pytest.mark.parametrize(
    ("tokens", "size", "expected"),
    [
        (196, (224, 224), TokenGrid(0, 14, 14)),
        (197, (224, 224), TokenGrid(1, 14, 14)),
        (65, (32, 32), TokenGrid(1, 8, 8)),
        (1 + 4 + 256, (224, 224), TokenGrid(5, 16, 16)),
        (1 + 4 * 8, (64, 128), TokenGrid(1, 4, 8)),
        (1 + 8 * 4, (128, 64), TokenGrid(1, 8, 4)),
        (1, (32, 32), None),
        (7, (1, 100), None),
    ],
)
def test_tokens_of_places_come_last_and_have_the_proportions_of_the_image(tokens, size, expected):
    assert token_grid(tokens, size) == expected
