"""Cluster: a Ray cluster, joined or started on this machine, and what a cell takes of it."""

import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from mimic.errors import InputError

_CONNECT_SECONDS = 5.0
_STORE_BYTES = 100 * 2**20
"""Shared memory of a cluster that is started here; cells do not use it."""
_WAIT_VARIABLE = "RAY_gcs_server_port_wait_time_s"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Ray cluster, and what a cell takes of it.

    Attributes:
        address: HOST:PORT, as `ray start` says it, or "auto" for the cluster that this machine is
            in; None starts one on this machine, for as long as the benchmark runs.
        cpus: of a cell, and its threads.
        gpus: of a cell: a share of one, such as 0.5, or a whole number; with 0 it sees none.
    """

    address: str | None = None
    cpus: int = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise InputError(f"the CPUs of a cell must be 1 or more, not {self.cpus}")
        if not 0 <= self.gpus < math.inf or (self.gpus > 1 and self.gpus % 1):
            raise InputError(
                f"the GPUs of a cell must be a share of one or a whole number, not {self.gpus:g}"
            )

    @property
    def share(self) -> str:
        """What a cell takes, for a message."""
        gpus = f" and {self.gpus:g} GPU(s)" if self.gpus else ""
        return f"{self.cpus} CPU(s){gpus} for a cell"

    def outlook(self) -> int:
        """Cells at a time on the cluster that will be joined or started.

        Raises:
            InputError: Ray is not installed, or the cluster cannot be joined.
        """
        if self.address is None:
            _import_ray()
            return self._places(self.machine())
        with joined(self) as ray:
            return self.room(ray)

    def room(self, ray: ModuleType) -> int:
        """Cells at a time on those machines of the cluster that are alive."""
        return sum(self._places(node["Resources"]) for node in ray.nodes() if node["Alive"])

    def machine(self) -> dict[str, int]:
        """What this machine has for a cluster of its own."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return {"CPU": cores or 1, "GPU": torch.cuda.device_count() if self.gpus else 0}

    def _places(self, machine: Mapping[str, float]) -> int:
        """Cells that fit on one machine."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        return min(
            int(machine.get(name, 0) / amount + 1e-6) for name, amount in wanted.items() if amount
        )


@contextmanager
def joined(cluster: Cluster) -> Iterator[ModuleType]:
    """Ray, in a cluster for the block; one that was started here ends with it."""
    ray = _import_ray()
    if ray.is_initialized():
        raise InputError("this process is in a Ray cluster already; call ray.shutdown() first")
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _own_sigterm():
            if cluster.address is None:
                machine = cluster.machine()
                ray.init(
                    "local",
                    num_cpus=machine["CPU"],
                    num_gpus=machine["GPU"],
                    object_store_memory=_STORE_BYTES,
                    **quiet,
                )
            else:
                _join(ray, cluster.address, quiet)
        yield ray
    finally:
        ray.shutdown()


def _join(ray: ModuleType, address: str, quiet: Mapping[str, Any]) -> None:
    if address != "auto":
        _knock(address)
    patience = os.environ.get(_WAIT_VARIABLE)
    try:
        # Ray would try for ten minutes
        os.environ[_WAIT_VARIABLE] = patience or "1"
        ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(
            f"cannot join the Ray cluster '{address}': {error.__cause__ or error}; this machine "
            "has to be in it (ray start --address=HOST:PORT), with the same versions of Ray and "
            "Python"
        ) from error
    finally:
        if patience is None:
            del os.environ[_WAIT_VARIABLE]


def _knock(address: str) -> None:
    """Refuse an address at which nobody answers."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"the address '{address}' is not understood; write HOST:PORT or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"nobody answers at '{address}' ({error.strerror or error}); is the cluster there? "
            "'ray start --head' starts one and says its address"
        ) from error


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray sets a handler of SIGTERM when it starts; the one from before comes back."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "the executor 'ray' needs an extra: pip install 'mimic-purify[ray]'"
        ) from error
    return ray
