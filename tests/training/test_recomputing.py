"""Recomputing saves memory and changes no bit of a training."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from mimic.encoders.architectures import build_backbone
from mimic.encoders.stages import tap
from mimic.errors import InputError
from mimic.training import Plan, Trainer
from mimic.training.recomputing import start_recomputing, stop_recomputing

from .support import Copy, Halves, Numbers, Pairs, Regress, identical, weights

CPU = Trainer(device="cpu", precision="32-true")
AGAIN = replace(CPU, activation_checkpointing=True)
PLAN = Plan(epochs=2, batch_size=7, learning_rate=0.01)


def trained(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Batch normalisation, dropout, and a tap within the part that is recomputed."""
    objective = Copy(noisy=True)
    trainer.fit(objective, Pairs(), PLAN)
    return weights(objective.learner)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_training_gives_the_same_bits(precision):
    states = [trained(replace(trainer, precision=precision)) for trainer in (CPU, AGAIN)]
    assert identical(*states)
    assert states[0]["1.0.normalisation.num_batches_tracked"] == 2 * (50 // 7)


def test_parts_of_batches_give_the_same_bits():
    states = [trained(replace(trainer, accumulate=3)) for trainer in (CPU, AGAIN)]
    assert identical(*states)


def saved_bytes(network: nn.Module, images: torch.Tensor) -> int:
    """What a forward pass keeps for the backward pass, outside of what is recomputed."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        network(images).sum()
    return sum(kept.values())


@pytest.mark.parametrize(
    "architecture", ["resnet18:width=8", "vit_tiny:dim=24,depth=4,heads=3,patch=4"]
)
def test_less_is_kept(architecture):
    network = build_backbone(architecture)
    images = torch.randn(16, 3, 32, 32)
    before = saved_bytes(network, images)
    blocks = start_recomputing(network, "test")
    less = saved_bytes(network, images)
    stop_recomputing(blocks)
    assert less < 0.4 * before
    assert saved_bytes(network, images) == pytest.approx(before, rel=0.01)


def test_gradients_flow_through_a_tapped_stage_within_a_block():
    network = build_backbone("resnet18:width=4")
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def gradients() -> list[torch.Tensor]:
        network.zero_grad()
        with tap(network, ["layer2.0.conv1"]) as maps:
            network(images)
        maps["layer2.0.conv1"].square().mean().backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    wanted = gradients()
    blocks = start_recomputing(network, "test")
    found = gradients()
    stop_recomputing(blocks)
    assert len(found) == len(wanted) > 0
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_a_network_is_itself_again_afterwards():
    objective = Copy(noisy=True)
    AGAIN.fit(objective, Pairs(), PLAN)
    assert not any("forward" in vars(module) for module in objective.learner.modules())
    assert all(
        module.momentum == 0.1
        for module in objective.learner.modules()
        if isinstance(module, nn.BatchNorm2d)
    )


def test_what_is_not_trained_is_left_alone():
    network = build_backbone("resnet18:width=4").requires_grad_(False)
    with pytest.warns(UserWarning, match="nothing is recomputed in 'test'"):
        assert start_recomputing(network, "test") == []


def test_a_network_without_blocks_is_trained_all_the_same():
    objective = Blocky()
    with pytest.warns(UserWarning, match="no chain of blocks"):
        AGAIN.fit(objective, Numbers(), PLAN)
    assert objective._steps == 6


def test_a_training_that_handles_weights_itself_is_refused():
    with pytest.raises(InputError, match="--activation-checkpointing does not work for 'training'"):
        AGAIN.fit(Halves(), Numbers(), PLAN)


class Blocky(Regress, divisible=True, blockwise=True):
    """Says that it may be worked on block by block, and has a single layer."""
