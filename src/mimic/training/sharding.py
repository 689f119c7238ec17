"""Weights in shards: a process holds a part of every tensor, and one block at a time as a whole.

By torch's own `fully_shard`: Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data
Parallel", VLDB 2023, arXiv:2304.11277. Blocks are put together for their forward and backward
passes; gradients and the state of the optimizer are never whole.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mimic.errors import InputError
from mimic.training import processes
from mimic.training.blocks import find_blocks

# torch takes its time to import what divides tensors, which most trainings never need.


def check_shardable(module: nn.Module) -> None:
    """Make sure that the weights of a module can be divided.

    Raises:
        InputError: torch is too old, or a weight has no dimensions.
    """
    from torch.distributed.fsdp import FSDPModule

    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
        raise InputError(
            f"--fsdp needs a newer torch than {torch.__version__}; update it, or leave it out"
        )
    single = [name for name, weight in module.named_parameters() if weight.ndim == 0]
    if single:
        raise InputError(
            f"--fsdp cannot divide the weight '{single[0]}', which is a single number; leave it out"
        )


def shard(module: nn.Module, device: torch.device) -> None:
    """Divide the weights of a module among the processes, and put it on the device.

    Gradients are added up over the processes, as everywhere in mimic, and not averaged. Weights go
    to the device block by block, so that it never holds more than one whole block.

    Args:
        module: on the CPU, the same in all processes; its forward pass uses all weights that any
            process uses.
        device: of this process.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (processes.count(),))
    for part in [*find_blocks(module), module]:
        sharded = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
    module.to(device)


def whole(state: Any) -> Any:
    """The state of a module or an optimizer with its shards put together, on the CPU.

    All processes have to call it at once, with the same state.
    """
    from torch.distributed.tensor import DTensor

    if isinstance(state, DTensor):
        return state.full_tensor().cpu()
    if isinstance(state, Tensor):
        return state.cpu()
    return _each(state, whole)


def divide_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimizer of divided weights the state of one of whole weights.

    Args:
        optimizer: its weights are sharded.
        state: as of `optimizer.state_dict()`, of the same weights in the same order.
    """
    from torch.distributed.tensor import DTensor, distribute_tensor

    weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def divided(weight: Tensor, value: Any) -> Any:
        like_it = isinstance(value, Tensor) and value.shape == weight.shape
        if not like_it or not isinstance(weight, DTensor):
            return value
        here = value.to(weight.device)
        return distribute_tensor(here, weight.device_mesh, weight.placements, src_data_rank=None)

    parts = {
        index: {name: divided(weights[index], value) for name, value in entries.items()}
        for index, entries in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": parts})


def own_part_of(weight: Tensor) -> Tensor:
    """What this process holds of a weight: all of it, unless it is sharded."""
    return weight.to_local() if hasattr(weight, "to_local") else weight


def _each(state: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(state, Mapping):
        return {key: change(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(change(value) for value in state)
    return state
