"""ResNets for small images (CIFAR style): a 3x3 stem and no max-pooling.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385. Modules and
state-dict keys are named as in torchvision, so that public CIFAR checkpoints fit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.encoders.layout import allows_channels_last


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution and a shortcut; the output is four times the width."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = _conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A ResNet that puts out the pooled feature of its last stage.

    Args:
        block: BasicBlock or Bottleneck.
        depths: number of blocks of each stage; stages after the first halve the resolution.
        width: channels of the first stage; each later stage doubles them.
        stem_stride: stride of the 3x3 stem; 2 makes everything four times cheaper.

    Attributes:
        channels_last: whether images are to come in this memory layout, in which every operation
            here is fastest; not with fewer than 16 channels, see `allows_channels_last`.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        *,
        width: int = 64,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv1 = _conv(3, width, 3, stem_stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.depth = len(depths)
        inputs = width
        for stage, depth in enumerate(depths):
            channels = width * 2**stage
            blocks: list[nn.Module] = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(inputs, channels, stride))
                inputs = channels * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.channels_last = allows_channels_last(self)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the convolutions afresh (He et al., ICCV 2015, arXiv:1502.01852)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (batch, 3, height, width) to features (batch, dimension)."""
        x = F.relu(self.bn1(self.conv1(images)))
        for stage in range(self.depth):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
