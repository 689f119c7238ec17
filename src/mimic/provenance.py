"""Provenance: what a reader has to know of software and machine to repeat or doubt a number."""

import platform
from typing import Any

import torch

import mimic
from mimic.training import Trainer
from mimic.training.precision import best_device


def versions() -> dict[str, str]:
    """Of mimic, torch and Python."""
    return {
        "mimic": mimic.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def machine(trainer: Trainer) -> dict[str, Any]:
    """Device, precision, and threads of the CPU."""
    return {
        "device": best_device() if trainer.device == "auto" else trainer.device,
        "precision": trainer.precision,
        "threads": torch.get_num_threads(),
    }
