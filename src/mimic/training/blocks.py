"""Blocks: the pieces of a network that follow one another, such as the layers of a transformer.

What is recomputed is recomputed block by block, and what is divided among processes is put together
block by block.
"""

from torch import nn

_CHAINS = (nn.Sequential, nn.ModuleList)


def find_blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks of a network: what its chains consist of, down to the smallest that count.

    A block is an element of an `nn.Sequential` or `nn.ModuleList` that is no chain itself and has
    parts. Where smaller blocks within it hold most of its weights, as in the stages of a Swin
    transformer, they take its place.

    Returns:
        Modules of which none is within another; none at all where a network has no chains, or
        chains of single layers only.
    """
    return list(dict.fromkeys(_within(network)))


def _within(module: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for child in module.children():
        smaller = _within(child)
        if isinstance(module, _CHAINS) and _may_be_a_block(child):
            held = sum(map(_size, dict.fromkeys(smaller)))
            found += smaller if 2 * held > _size(child) else [child]
        else:
            found += smaller
    return found


def _may_be_a_block(module: nn.Module) -> bool:
    has_parts = next(module.children(), None) is not None
    return has_parts and not isinstance(module, _CHAINS) and _size(module) > 0


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
