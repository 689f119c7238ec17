"""A tiny encoder, and states to compare."""

import torch
from torch import Tensor, nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.training import Trainer

CPU = Trainer(device="cpu", precision="32-true")


def given() -> Encoder:
    """Always the same encoder, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Encoder(build_backbone("resnet10:width=4"), mean=(0.5,) * 3, std=(0.3,) * 3).eval()


def state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the state of a module."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def identical(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two states agree bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
