"""Reading ahead: the next batch is decoded while the current one is worked on."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch import Tensor

from mimic.training.objective import Data


def read_batches(data: Data, chunks: Sequence[Tensor]) -> Generator[Any, None, None]:
    """The items of `data` at each of `chunks`, in order; streamed data is read one chunk ahead.

    At most two batches are in memory at a time.
    """
    if not data.streamed:
        for chunk in chunks:
            yield data.batch(chunk)
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = reader.submit(data.batch, chunks[0]) if chunks else None
        for following in [*chunks[1:], None]:
            if ahead is None:
                return
            batch = ahead.result()
            ahead = None if following is None else reader.submit(data.batch, following)
            yield batch
