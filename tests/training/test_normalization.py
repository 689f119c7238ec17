"""Synchronised batch normalisation comes and goes without a trace."""

import pytest
import torch
from torch import nn

from mimic.errors import InputError
from mimic.training.normalization import average_statistics, restore, synchronise

from .support import Classify, identical, weights


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.shared = self.block[1]
        self.last = nn.BatchNorm1d(4)


def kinds(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module.modules()]


def test_every_batch_normalisation_is_replaced():
    module = Nested()
    synchronise(module)
    assert sorted(kinds(module)) == sorted(
        ["Nested", "Sequential", "Conv2d", "SyncBatchNorm", "SyncBatchNorm"]
    )


def test_a_module_with_two_names_stays_one_module():
    module = Nested()
    synchronise(module)
    assert module.shared is module.block[1]


def test_weights_and_statistics_stay_the_same_tensors():
    module = Nested()
    before = module.state_dict(keep_vars=True)
    synchronise(module)
    after = module.state_dict(keep_vars=True)
    assert list(before) == list(after)
    assert all(before[name] is after[name] for name in before)


def test_the_modules_come_back():
    module = Nested()
    before = list(module.modules())
    restore(synchronise(module))
    assert all(ours is theirs for ours, theirs in zip(module.modules(), before, strict=True))


def test_a_mode_that_was_set_in_between_stays():
    module = Nested().eval()
    replaced = synchronise(module)
    module.train()
    restore(replaced)
    assert all(part.training for part in module.modules())


def test_a_normalisation_that_does_more_is_refused():
    class Activated(nn.BatchNorm2d):
        """As in libraries of networks: an activation behind the normalisation."""

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return super().forward(maps).relu()

    with pytest.raises(InputError, match="'0' is of the kind Activated"):
        synchronise(nn.Sequential(Activated(2)))


def test_the_statistics_of_one_process_are_their_own_mean():
    objective = Classify()
    before = weights(objective)
    average_statistics(objective)
    assert identical(weights(objective), before)
