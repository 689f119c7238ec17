"""Determinism: no operation whose result may differ from run to run on the same device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mimic.errors import RunError


def prepare_determinism() -> None:
    """Set what cuBLAS reads when it is first used; later it is too late."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic_algorithms(*, wanted: bool) -> Iterator[None]:
    """For the block, let torch use deterministic algorithms alone; its settings come back after.

    Raises:
        RunError: an operation has none on this device.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn_searches = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise RunError(
            f"{str(error).partition(' does not')[0]} is not deterministic on this device; leave "
            "--deterministic out or use --device cpu"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        torch.backends.cudnn.benchmark = cudnn_searches
