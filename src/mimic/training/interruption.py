"""SIGINT and SIGTERM as a request: finish the step, save, leave."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody asked the run to stop."""

    requested: bool = False


@contextmanager
def watch_signals() -> Iterator[Interruption]:
    """Turn SIGINT and SIGTERM into `requested` for the block; a second one acts as usual.

    Outside the main thread, where Python cannot set handlers, signals act as usual.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    # None stands for a handler that was not set from Python and cannot be put back by it
    watched = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) or signal.SIG_DFL for number in watched}

    def request(number: int, _frame: FrameType | None) -> None:
        interruption.requested = True
        signal.signal(number, previous[signal.Signals(number)])

    try:
        for number in previous:
            signal.signal(number, request)
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
