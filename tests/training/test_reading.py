"""Reading ahead keeps the order, and reads no more than one chunk too many."""

import pytest
import torch
from torch import Tensor

from mimic.training.reading import read_batches


class Source:
    def __init__(self, *, streamed: bool) -> None:
        self.streamed = streamed
        self.reads: list[list[int]] = []

    def __len__(self) -> int:
        return 10

    def batch(self, positions: Tensor) -> Tensor:
        self.reads.append(positions.tolist())
        return positions * 2


@pytest.mark.parametrize("streamed", [False, True])
def test_chunks_come_in_order(streamed):
    chunks = torch.arange(10).split(3)
    batches = list(read_batches(Source(streamed=streamed), chunks))
    assert [batch.tolist() for batch in batches] == [(chunk * 2).tolist() for chunk in chunks]


@pytest.mark.parametrize("streamed", [False, True])
def test_nothing_is_read_where_there_are_no_chunks(streamed):
    assert list(read_batches(Source(streamed=streamed), [])) == []


@pytest.mark.parametrize(("streamed", "at_most"), [(False, 1), (True, 2)])
def test_at_most_one_chunk_is_read_ahead(streamed, at_most):
    source = Source(streamed=streamed)
    batches = read_batches(source, torch.arange(10).split(2))
    next(batches)
    batches.close()
    assert len(source.reads) <= at_most


def test_an_error_while_reading_ahead_reaches_the_reader():
    class Broken(Source):
        def batch(self, positions: Tensor) -> Tensor:
            raise OSError("the file is gone")

    with pytest.raises(OSError, match="gone"):
        next(read_batches(Broken(streamed=True), torch.arange(4).split(2)))
