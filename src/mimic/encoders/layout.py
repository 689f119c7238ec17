"""Memory layout: which networks may be trained with the channels of an image side by side."""

from torch import nn

_BLOCK = 16
"""Channels that oneDNN's widest kernels (AVX-512) take at a time."""


def allows_channels_last(module: nn.Module) -> bool:
    """Whether a module is safe to train with images and weights in `torch.channels_last`.

    On a CPU the gradient of a strided 1x1 convolution with fewer input channels than a block of
    oneDNN writes beyond its workspace: wrong gradients, or a process that dies, at once or later
    (https://github.com/uxlfoundation/oneDNN/issues/6035, in PyTorch 2.13 too). With the channels
    apart it is right. Narrow ResNets have such a convolution in their shortcuts.

    Args:
        module: looked through with all that is inside it.
    """
    return not any(
        isinstance(part, nn.Conv2d)
        and set(part.kernel_size) == {1}
        and max(part.stride) > 1
        and part.in_channels < _BLOCK
        for part in module.modules()
    )
