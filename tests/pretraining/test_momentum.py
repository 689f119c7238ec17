import pytest
import torch
from torch import nn

from mimic.errors import InputError
from mimic.pretraining.momentum import MomentumCopy, check_momentum, rising_momentum


def chain() -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(3, 4).double(), nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()).double()


def test_the_copy_computes_what_the_modules_compute():
    first, second = chain()
    rows = torch.rand(5, 3, dtype=torch.float64)
    assert torch.equal(MomentumCopy(first, second)(rows), second(first(rows)))


def test_the_average_after_n_steps_is_the_closed_form():
    first, second = chain()
    start = first.weight.detach().clone()
    copy = MomentumCopy(first, second)
    with torch.no_grad():
        first.weight.fill_(7)
    for _ in range(10):
        copy.follow(first, second, momentum=0.9)
    expected = 7 + 0.9**10 * (start - 7)
    torch.testing.assert_close(copy.chain[0].weight, expected, rtol=1e-13, atol=1e-13)


def test_a_momentum_of_one_stays_where_it_is():
    first, second = chain()
    copy = MomentumCopy(first, second)
    before = copy.chain[0].weight.clone()
    with torch.no_grad():
        first.weight.fill_(7)
    copy.follow(first, second, momentum=1.0)
    assert torch.equal(copy.chain[0].weight, before)


def test_following_leaves_the_modules_as_they_are():
    first, second = chain()
    copy = MomentumCopy(first, second)
    before = first.weight.detach().clone()
    with torch.no_grad():
        copy.chain[0].weight.fill_(7)
    copy.follow(first, second, momentum=0.5)
    assert torch.equal(first.weight, before)


def test_running_statistics_are_those_of_its_own_passes():
    first, second = chain()
    copy = MomentumCopy(first, second)
    copy(torch.rand(5, 3, dtype=torch.float64))
    copy.follow(first, second, momentum=0.5)
    assert int(copy.chain[1][0].num_batches_tracked) == 1
    assert int(second[0].num_batches_tracked) == 0


def test_no_gradient_passes_through_the_copy():
    first, second = chain()
    copy = MomentumCopy(first, second)
    rows = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    assert not copy(rows).requires_grad
    assert not any(parameter.requires_grad for parameter in copy.parameters())


@pytest.mark.parametrize(("step", "expected"), [(0, 0.9), (5, 0.95), (10, 1.0)])
def test_the_momentum_rises_from_its_start_to_one(step, expected):
    assert rising_momentum(0.9, step, 10) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
def test_a_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(InputError, match=r"in \[0, 1\], not"):
        check_momentum(momentum)
