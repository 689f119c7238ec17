"""Where tensors live and how precisely they are multiplied: devices, precisions, Fabric."""

import logging
from typing import TYPE_CHECKING, Any

import torch

from mimic.errors import InputError
from mimic.training import processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_DEVICES = ("cpu", "cuda", "mps")


def best_precision(accelerator: str) -> str:
    """`bf16-mixed` where the hardware multiplies bfloat16 natively, else `32-true`.

    Args:
        accelerator: "cpu", "cuda" or "mps", as Fabric names them.
    """
    if accelerator == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator == "cpu":
        native = _cpu_supports("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def best_device() -> str:
    """The fastest kind of device of this machine: "cuda", else "mps", else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def open_fabric(device: str = "auto", precision: str = "auto") -> "Fabric":
    """Fabric for one device: it moves tensors and sets the precision of forward passes.

    Where torchrun started several processes, they meet here, and each takes a GPU of its own.

    Args:
        device: "auto", "cpu", "cuda", "mps", or "cuda:N" for one of several.
        precision: "auto", or a precision of Lightning Fabric ("bf16-mixed", "32-true").

    Raises:
        InputError: the device is unknown, not in this machine or not one for several processes, or
            the precision is unknown.
    """
    # Fabric announces the precision of every one of its objects
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    from lightning_fabric import Fabric

    name = best_device() if device == "auto" else device
    accelerator, _, index = name.partition(":")
    _check_device(accelerator, index, name)
    if processes.launched() > 1:
        index = _own_device(accelerator, index, name)
        processes.join(accelerator)
    chosen: Any = best_precision(accelerator) if precision == "auto" else precision
    try:
        return Fabric(
            accelerator=accelerator, devices=[int(index)] if index else 1, precision=chosen
        )
    except ValueError as error:
        raise InputError(
            f"precision '{precision}' is not understood: {error}; try auto, bf16-mixed or 32-true"
        ) from error


def _check_device(accelerator: str, index: str, name: str) -> None:
    if accelerator not in _DEVICES or (index and not (accelerator == "cuda" and index.isdigit())):
        raise InputError(
            f"device '{name}' is unknown; there are auto, {', '.join(_DEVICES)} and cuda:N"
        )
    if accelerator == "mps":
        here = torch.backends.mps.is_available()
    else:
        here = accelerator == "cpu" or int(index or 0) < torch.cuda.device_count()
    if not here:
        raise InputError(
            f"device '{name}' is not available on this machine; use '{best_device()}' or auto"
        )


def _own_device(accelerator: str, index: str, name: str) -> str:
    """The number of the device that this one of several processes takes; none for a CPU."""
    if index or accelerator == "mps":
        raise InputError(
            f"device '{name}' is not one for {processes.launched()} processes; use cuda, of which "
            "each takes its own, or cpu"
        )
    if accelerator == "cpu":
        return ""
    own = processes.place_on_machine()
    if own >= torch.cuda.device_count():
        raise InputError(
            f"there are more processes than GPUs on a machine, which has "
            f"{torch.cuda.device_count()}; start as many with --nproc-per-node"
        )
    return str(own)


def _cpu_supports(*probes: str) -> bool:
    """Whether the CPU has AVX-512 and one of the features; the probes are private to torch."""
    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
