import pytest
import torch

from mimic.errors import InputError
from mimic.losses.maps import as_map


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
