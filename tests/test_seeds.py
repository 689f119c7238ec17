"""Seeds of parties: whoever was given the same seed draws other numbers all the same."""

import pytest
import torch

from mimic.seeds import seed_of


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_no_party_draws_what_the_seed_itself_or_another_party_draws(seed):
    seeds = [seed, *(seed_of(party, seed) for party in ("student", "defender", "judge"))]
    drawn = [torch.randn(1000, generator=torch.Generator().manual_seed(one)) for one in seeds]
    alike = torch.corrcoef(torch.stack(drawn)).abs() - torch.eye(len(seeds))
    assert float(alike.max()) < 0.15


def test_a_seed_is_the_same_every_time_and_another_one_for_each():
    assert seed_of("student", 3) == seed_of("student", 3)
    assert len({seed_of("student", seed) for seed in range(100)}) == 100
