"""Permutation symmetry: networks whose inner channels are in another order but that do the same.

The order of channels between two convolutions is seen by nobody else, if all that lies between them
works channel by channel: permute what the first puts out, the normalisation, and what the second
takes in, and the function stays. In a residual network these are the inner channels of each block;
the residual stream stays. Ainsworth et al., "Git Re-Basin", ICLR 2023, arXiv:2209.04836.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mimic.defenses.channels import CONVOLUTIONS
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import tap
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.training import Trainer
from mimic.training.precision import open_fabric
from mimic.training.reading import read_batches

Node = Any
"""A node of torch's graph of how a tensor was computed; it has no public type."""

Orders = Mapping[str, Tensor]
"""Per producer: which old channel comes to each place, shape (channels,), int64."""

_SAME = 1e-4  # of the largest feature; single precision, many layers
_FLOOR = 1e-4  # added to the denominator of a correlation


@dataclass(frozen=True, kw_only=True)
class Group:
    """Channels whose order matters to nobody outside.

    Attributes:
        producer: dotted name in the backbone of the convolution that puts them out.
        carriers: of the modules with weights in between, one entry per channel each.
        consumer: of the convolution that takes them in.
        channels: how many.
    """

    producer: str
    carriers: tuple[str, ...]
    consumer: str
    channels: int


def permutable_groups(encoder: Encoder, example: Tensor) -> tuple[Group, ...]:
    """Groups found by following tensors through one forward pass; each is tried out.

    Args:
        encoder: nothing in it changes.
        example: images, uint8 or floats in [0, 1], shape (n, 3, height, width).

    Raises:
        InputError: there is none.
    """
    probe = encoder.copy().cpu().requires_grad_(True).eval()
    images = to_unit_range(example[:4]).cpu()
    with torch.enable_grad():
        features = probe(images)
    found = _candidates(probe.backbone, features)
    groups = tuple(group for group in found if _is_free(probe, group, images, features.detach()))
    if not groups:
        raise InputError(
            "no convolution of this encoder feeds one other convolution alone, so that no channels "
            "can be permuted, which this method needs; take another one, such as mimic or mcr"
        )
    return groups


def permute(encoder: Encoder, groups: Sequence[Group], orders: Orders) -> None:
    """Put channels into another order, in place; the function stays the same.

    Args:
        encoder: whose channels are permuted.
        groups: of this encoder, each with a permutation in `orders`.
    """
    for group in groups:
        _permute(encoder.backbone, group, orders[group.producer])


@torch.no_grad()
def correlations(
    first: Encoder, second: Encoder, groups: Sequence[Group], images: ImageSet, *, trainer: Trainer
) -> dict[str, Tensor]:
    """How alike channels of two encoders respond to the same images.

    The covariance of what the producer puts out, over images and positions, divided by the product
    of the standard deviations plus 1e-4. Both encoders end in eval mode on the trainer's device.

    Args:
        first, second: of one architecture.
        groups: of both.
        images: clean; looked at as they are.
        trainer: the environment.

    Returns:
        Per producer float64 on the CPU, shape (channels, channels): [i, j] is between channel i of
        `first` and channel j of `second`.

    Source: the constants are those of TSC's released code (arXiv:2506.07467).
    """
    fabric = open_fabric(trainer.device, trainer.precision)
    names = [group.producer for group in groups]
    moments = {group.producer: _Moments.empty(2 * group.channels) for group in groups}
    for encoder in (first, second):
        encoder.eval().to(fabric.device)
    chunks = torch.arange(len(images)).split(96)
    with closing(read_batches(images, chunks)) as batches, fabric.autocast():
        for batch in batches:
            here = fabric.to_device(batch)
            with tap(first.backbone, names) as maps:
                first(here)
            with tap(second.backbone, names) as others:
                second(here)
            for name in names:
                moments[name].add(torch.cat([maps[name], others[name]], dim=1))
    return {group.producer: moments[group.producer].across(group.channels) for group in groups}


def assignment(correlation: Tensor, *, maximize: bool) -> Tensor:
    """Which second channel belongs to each first one, so that no two share one.

    Args:
        correlation: shape (channels, channels), first by second.
        maximize: True for the most similar pairs, False for the least similar ones.

    Returns:
        The order of second channels, shape (channels,), int64; the sum of the pairs' correlations
        is the largest, or the smallest, of all.
    """
    from scipy.optimize import linear_sum_assignment

    _, columns = linear_sum_assignment(correlation.numpy(), maximize=maximize)
    return torch.as_tensor(columns, dtype=torch.int64)


def matched(
    moving: Encoder,
    fixed: Encoder,
    groups: Sequence[Group],
    images: ImageSet,
    *,
    maximize: bool,
    trainer: Trainer,
) -> Encoder:
    """A copy of `moving` that does the same, its channels ordered after those of `fixed`.

    Args:
        moving: left as it is.
        fixed: what its channels are compared with.
        groups: of both.
        images: clean; decide what similar means.
        maximize: True puts the most similar channels at the same places, False the least similar.
        trainer: the environment.
    """
    found = correlations(fixed, moving, groups, images, trainer=trainer)
    result = moving.copy()
    permute(result, groups, {name: assignment(c, maximize=maximize) for name, c in found.items()})
    return result


def _candidates(backbone: nn.Module, features: Tensor) -> list[Group]:
    """Convolutions whose output reaches one other convolution and nothing else."""
    owners = {
        id(parameter): name
        for name, module in backbone.named_modules()
        for parameter in module.parameters(recurse=False)
    }
    users = _users(features.grad_fn)
    uses = Counter(name for node in users for name in _owners(node, owners))
    found = (_follow(backbone, node, users, owners) for node in users)
    return [
        group
        for group in found
        if group is not None
        and all(uses[name] == 1 for name in (group.producer, *group.carriers, group.consumer))
    ]


def _users(root: Node) -> dict[Node, list[Node]]:
    """All nodes that lead to `root`, each with those that use what it puts out."""
    waiting = [] if root is None else [root]
    users: dict[Node, list[Node]] = {node: [] for node in waiting}
    while waiting:
        node = waiting.pop()
        for source, _ in node.next_functions:
            if source is None:
                continue
            if source not in users:
                users[source] = []
                waiting.append(source)
            users[source].append(node)
    return users


def _owners(node: Node, owners: Mapping[int, str]) -> set[str]:
    """Modules whose parameters go straight into a node."""
    sources = [source for source, _ in node.next_functions if hasattr(source, "variable")]
    return {owners[id(s.variable)] for s in sources if id(s.variable) in owners}


def _inputs(node: Node) -> int:
    """How many inputs of a node were computed."""
    return sum(s is not None and not hasattr(s, "variable") for s, _ in node.next_functions)


def _follow(
    backbone: nn.Module, node: Node, users: Mapping[Node, list[Node]], owners: Mapping[int, str]
) -> Group | None:
    """From a convolution to the next one, while there is but one way."""
    producer = _dense(backbone, _owners(node, owners))
    carriers: list[str] = []
    while producer is not None and len(users[node]) == 1:
        (node,) = users[node]
        names = _owners(node, owners)
        if _inputs(node) != 1 or len(names) > 1:
            break
        if consumer := _dense(backbone, names):
            return _group(backbone, producer, carriers, consumer)
        carriers.extend(names)
    return None


def _dense(backbone: nn.Module, names: set[str]) -> str | None:
    """The name, if it is one and that of a convolution without groups."""
    if len(names) != 1:
        return None
    (name,) = names
    module = backbone.get_submodule(name)
    return name if isinstance(module, CONVOLUTIONS) and module.groups == 1 else None


def _group(backbone: nn.Module, producer: str, carriers: list[str], consumer: str) -> Group | None:
    channels: Any = backbone.get_submodule(producer).out_channels
    if channels < 2 or backbone.get_submodule(consumer).in_channels != channels:
        return None
    return Group(producer=producer, carriers=tuple(carriers), consumer=consumer, channels=channels)


@torch.no_grad()
def _is_free(encoder: Encoder, group: Group, images: Tensor, features: Tensor) -> bool:
    """Whether another order of channels leaves the features as they are."""
    order = torch.arange(group.channels).roll(1)
    _permute(encoder.backbone, group, order)
    found = encoder(images)
    _permute(encoder.backbone, group, order.argsort())
    return bool((found - features).abs().max() <= _SAME * features.abs().max())


@torch.no_grad()
def _permute(backbone: nn.Module, group: Group, order: Tensor) -> None:
    for name in (group.producer, *group.carriers):
        module = backbone.get_submodule(name)
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if tensor.ndim and len(tensor) == group.channels:
                tensor.copy_(tensor[order.to(tensor.device)])
    weight: Any = backbone.get_submodule(group.consumer).weight
    weight.copy_(weight[:, order.to(weight.device)])


@dataclass
class _Moments:
    """Count, sums and products of channels, collected batch by batch."""

    count: int
    sums: Tensor
    products: Tensor

    @classmethod
    def empty(cls, channels: int) -> "_Moments":
        zeros = torch.zeros(channels, channels, dtype=torch.float64)
        return cls(count=0, sums=zeros[0].clone(), products=zeros)

    def add(self, maps: Tensor) -> None:
        """Maps of shape (batch, channels, ...)."""
        if maps.device.type == "mps":  # has no float64
            maps = maps.cpu()
        rows = maps.double().transpose(0, 1).flatten(1)
        self.count += rows.shape[1]
        self.sums += rows.sum(dim=1).cpu()
        self.products += (rows @ rows.T).cpu()

    def across(self, channels: int) -> Tensor:
        """Correlations of the first channels with the other ones."""
        means = self.sums / self.count
        covariance = self.products / self.count - means.outer(means)
        deviations = covariance.diagonal().clamp_min(0).sqrt()
        scale = deviations[:channels].outer(deviations[channels:]) + _FLOOR
        return covariance[:channels, channels:] / scale
