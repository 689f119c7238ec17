import pytest
import torch

from mimic.losses.pairs import cosines, inner_products


def features(seed, shape=(5, 7)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_inner_products_are_those_of_the_rows():
    rows = features(0).double()
    torch.testing.assert_close(
        inner_products(features(0)).double(), rows @ rows.T, rtol=1e-5, atol=1e-5
    )


def test_cosines_divide_by_the_lengths():
    rows = features(0).double()
    unit = rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(cosines(features(0)).double(), unit @ unit.T, rtol=0, atol=1e-6)


def test_maps_count_as_long_vectors():
    maps = features(1, (4, 3, 2, 5))
    assert torch.equal(inner_products(maps), inner_products(maps.reshape(4, 30)))


@pytest.mark.parametrize("pairs", [inner_products, cosines])
def test_autocast_does_not_round_the_products(pairs):
    exact = pairs(features(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pairs(features(0)), exact)
