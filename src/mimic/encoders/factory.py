"""The user's own network: a function `module:function` that builds it with fresh weights."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import nn

from mimic.errors import InputError


def build_from(factory: str | Callable[[], nn.Module]) -> nn.Module:
    """Call the user's factory.

    Args:
        factory: `module:function`, imported with the current directory on the path, or the function
            itself; it takes no arguments and returns the backbone with fresh random weights.

    Raises:
        InputError: the module or the function is missing, fails, or does not return an nn.Module.
    """
    name = factory if isinstance(factory, str) else getattr(factory, "__name__", repr(factory))
    with _current_directory_importable():
        build = _find(factory) if isinstance(factory, str) else factory
        try:
            backbone = build()
        except Exception as error:
            raise InputError(
                f"factory '{name}' failed ({type(error).__name__}: {error}); "
                "it is called without arguments and returns the network"
            ) from error
    if not isinstance(backbone, nn.Module):
        raise InputError(
            f"factory '{name}' must return a torch.nn.Module, not {type(backbone).__name__}"
        )
    return backbone


def _find(spelling: str) -> Callable[[], object]:
    module_name, _, function_name = spelling.partition(":")
    if not module_name or not function_name.isidentifier():
        raise InputError(
            f"factory '{spelling}' is not understood; write module:function, as in networks:build"
        )
    if module_name.endswith(".py"):
        raise InputError(
            f"factory '{spelling}' names a file; write the module instead, as in "
            f"{Path(module_name).stem}:{function_name}, and run from its folder"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            raise InputError(
                f"there is no module '{module_name}' here ({Path.cwd()}) or among the installed "
                f"packages, so factory '{spelling}' cannot be called"
            ) from error
        raise InputError(
            f"module '{module_name}' of factory '{spelling}' cannot be imported "
            f"({type(error).__name__}: {error})"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"module '{module_name}' has no function '{function_name}'")
    return function


@contextmanager
def _current_directory_importable() -> Iterator[None]:
    here = str(Path.cwd())
    importlib.invalidate_caches()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(here)
