"""Attended differences: a map is copied in those channels that a small network picks."""

import torch
from torch import Tensor, nn

from mimic.losses.maps import as_map


class ChannelAttention(nn.Module):
    """Shares of the channels of a map, from its mean activations.

    A fully connected layer on the pooled map is what a 1x1 convolution is there.

    Args:
        channels: of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widen = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)
        for layer in (self.widen, self.narrow):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, teacher: Tensor) -> Tensor:
        """Map (batch, channels, height, width) or tokens to shares (batch, channels) of sum 1."""
        pooled = as_map(teacher).mean(dim=(2, 3))
        shares = self.narrow(self.widen(pooled).relu()).float().sigmoid()
        return shares / shares.sum(dim=1, keepdim=True)


def attended_loss(student: Tensor, teacher: Tensor, shares: Tensor) -> Tensor:
    """Squared difference of two maps, each channel scaled to length 1, weighted by channel.

    Args:
        student: map (batch, channels, height, width) or tokens (batch, tokens, dimension).
        teacher: the same shape.
        shares: of the channels, shape (batch, channels), rows of sum 1.

    Returns:
        A scalar in [0, 4 / (height * width)]: the sum over channels of share * mean over positions,
        averaged over images. The scale of a channel does not count.

    Source: Wang et al., "Pay Attention to Features, Transfer Learn Faster CNNs", ICLR 2020, with
        the attention of the distillation study (Han et al., arXiv:2403.03846).
    """
    own, wanted = (_scaled_channels(outputs) for outputs in (student, teacher))
    return (shares * (own - wanted).square().mean(dim=(2, 3))).sum(dim=1).mean()


def _scaled_channels(outputs: Tensor) -> Tensor:
    maps = as_map(outputs).float()
    return maps / (torch.linalg.vector_norm(maps, dim=(2, 3), keepdim=True) + 1e-6)


class AttendedLoss(nn.Module):
    """`attended_loss` with attention that is trained along with the student.

    Args:
        channels: of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = ChannelAttention(channels)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """A scalar; see `attended_loss`."""
        return attended_loss(student, teacher, self.attention(teacher))


@torch.no_grad()
def _random_shares(teacher: Tensor) -> Tensor:
    return ChannelAttention(as_map(teacher).shape[1]).to(teacher.device)(teacher)


def attended_loss_as_coded(student: Tensor, teacher: Tensor) -> Tensor:
    """What the code of the distillation study computes: `attended_loss` with random attention.

    The network that picks the channels is never trained. Here it is drawn anew at every call, from
    torch's global generator; there at every epoch.

    Args:
        student: map (batch, channels, height, width) or tokens (batch, tokens, dimension).
        teacher: the same shape.

    Returns:
        A scalar as of `attended_loss`.

    Source: released code of Han et al., arXiv:2403.03846; only to be compared with.
    """
    return attended_loss(student, teacher, _random_shares(teacher))
