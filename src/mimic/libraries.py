"""Libraries of the extra `hub`: imported where they are needed, in whatever state they are."""

import importlib
from typing import Any

import torch

from mimic.errors import InputError


def import_library(name: str) -> Any:
    """Import a library of the extra `hub`, whatever state the installation is in.

    Raises:
        InputError: it is missing, or does not match the installed torch.
    """
    try:
        _import_torchvision()
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"'{name}' is not installed (there is no module '{error.name}'); "
            "pip install 'mimic-purify[hub]'"
        ) from error
    except Exception as error:
        raise InputError(
            f"'{name}' is installed but cannot be imported ({type(error).__name__}: {error}); "
            f"install the releases of torchvision and {name} that belong to torch "
            f"{torch.__version__}"
        ) from error


def _import_torchvision() -> None:
    """Import torchvision, which the other libraries import too, also where it is of another build.

    A torchvision that was compiled for another torch (for CUDA, beside a torch for CPUs) stops at
    the names of operators on boxes that it could not load. No encoder uses one: with the names
    declared the import goes on, and whoever does call them is told that they are not there.
    """
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
        importlib.import_module("torchvision")
