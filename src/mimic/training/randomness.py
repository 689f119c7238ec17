"""Random numbers of a training: seeded per step, and nobody else's are touched."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_step(device: torch.device, seed: int) -> None:
    """Seed torch's default generators of the CPU and of `device`, and no other one.

    `torch.manual_seed` would also seed every other GPU of the process.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the CPU's random numbers for the block, and give their state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def isolated_randomness(device: torch.device) -> Iterator[None]:
    """Give torch's random states of the CPU and of `device` back as they were before the block."""
    module = None if device.type == "cpu" else torch.get_device_module(device)
    with torch.random.fork_rng(devices=[]):
        if module is None:
            yield
            return
        arguments = (device,) if device.type == "cuda" else ()
        state = module.get_rng_state(*arguments)
        try:
            yield
        finally:
            module.set_rng_state(state, *arguments)
