"""Fresh weights for any network, so that a student inherits nothing from its teacher."""

from collections.abc import Callable

from torch import nn

from mimic.errors import InputError


def reinitialize(module: nn.Module) -> nn.Module:
    """Reset every parameter of `module` in place, as its modules do when they are built.

    Batch normalisation gets fresh running statistics. Buffers of modules that offer no reset are
    constants of the architecture and stay. Random numbers come from torch's global generator: seed
    it first where the result has to be repeatable.

    Returns:
        The same module.

    Raises:
        InputError: a module owns parameters but offers no `reset_parameters`; give a factory
            (`rebuild=`) instead, which builds a fresh network. Nothing was changed then.
    """
    resets: list[Callable[[], object]] = []
    unable: list[str] = []
    for name, submodule in module.named_modules():
        reset = getattr(submodule, "reset_parameters", None) or getattr(
            submodule, "_reset_parameters", None
        )
        if callable(reset):
            resets.append(reset)
        elif next(submodule.parameters(recurse=False), None) is not None:
            unable.append(f"'{name or '(root)'}' ({type(submodule).__name__})")
    if unable:
        raise InputError(
            f"cannot re-initialise {', '.join(unable)}: no reset_parameters method; "
            "add one, or give a factory that builds the network afresh (rebuild=...)"
        )
    # Children before parents: a parent's own rule has the last word, as in its constructor.
    for reset in reversed(resets):
        reset()
    return module
