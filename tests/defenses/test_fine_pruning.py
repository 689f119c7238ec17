import pytest
import torch
from torch import Tensor, nn

from mimic.defenses.channels import prune
from mimic.defenses.fine_pruning import (
    FinePruning,
    PrunedFineTuneObjective,
    least_active,
    mean_activation,
    percent_steps,
    writing_norms,
)
from mimic.defenses.finetune import FineTune
from mimic.encoders.architectures import build_backbone
from mimic.encoders.batch_norms import batch_norms
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import tap
from mimic.errors import InputError

from .support import OwnNetwork, Watch, identical, images, resnet, state

ASLEEP = [1, 4]


def own(*, asleep: bool = False) -> Encoder:
    """Two blocks; two of the last six channels may be asleep on every image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        encoder = Encoder(OwnNetwork())
        encoder(images().tensor())
        for norm in batch_norms(encoder).values():
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, 0.2, 0.8)
    if asleep:
        with torch.no_grad():
            encoder.backbone.second[1].bias[ASLEEP] = -100.0
    return encoder.eval()


def deep() -> Encoder:
    """A ResNet with two blocks per stage, so that the last stage has a plain shortcut."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = Encoder(build_backbone("resnet18:width=4"))
        encoder(images(4, (16, 16)).tensor())
        for norm in batch_norms(encoder).values():
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    return encoder.eval()


def stage_map(encoder: Encoder, stage: str, pixels: Tensor) -> Tensor:
    with tap(encoder.backbone, [stage]) as maps, torch.no_grad():
        encoder(pixels)
    return maps[stage]


def dead(encoder: Encoder, name: str = "second.1") -> list[int]:
    norm = batch_norms(encoder)[name]
    return ((norm.weight == 0) & (norm.bias == 0)).nonzero().flatten().tolist()


def test_in_a_chain_the_last_normalisation_writes_the_stage():
    assert writing_norms(own(), "second", images(1).tensor()) == ("second.1",)


def test_in_a_residual_stage_every_block_and_the_shortcut_write():
    found = writing_norms(deep(), "layer4", images(1, (16, 16)).tensor())
    assert set(found) == {"layer4.0.bn2", "layer4.0.downsample.1", "layer4.1.bn2"}


def test_a_channel_that_is_pruned_in_all_of_them_is_dead():
    encoder, pixels = deep(), images(4, (16, 16)).tensor()
    off = torch.zeros(32, dtype=torch.bool)
    off[[3, 30]] = True
    before = stage_map(encoder, "layer4", pixels)
    prune(encoder, dict.fromkeys(writing_norms(encoder, "layer4", pixels[:1]), off))
    after = stage_map(encoder, "layer4", pixels)
    assert (before[:, off] != 0).any(dim=(0, 2, 3)).all()
    assert (after[:, off] == 0).all()


def test_looking_for_them_changes_nothing():
    encoder = deep()
    before = state(encoder)
    writing_norms(encoder, "layer4", images(1, (16, 16)).tensor())
    assert identical(state(encoder), before)


class Gated(nn.Module):
    """Each channel of the map is scaled by something that all channels decide."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        nn.init.constant_(self.conv.weight, 0.3)  # no channel is silent
        self.norm, self.out = nn.BatchNorm2d(4), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.conv(images)).relu()
        return self.out(maps / (1 + maps.mean(dim=(1, 2, 3), keepdim=True))).mean(dim=(2, 3))


def test_a_stage_whose_channels_no_normalisation_writes_is_refused():
    with pytest.raises(InputError, match="'out'"):
        FinePruning()(Encoder(Gated(), stages=["out"]), images(), trainer=Watch())


def test_a_network_without_batch_normalisation_is_refused():
    backbone = build_backbone("vit_tiny:dim=8,depth=1,heads=1,patch=4")
    with pytest.raises(InputError, match="no batch normalisation"):
        FinePruning()(Encoder(backbone, image_size=8), images(), trainer=Watch())


def test_activity_is_the_mean_of_what_is_positive():
    encoder, few = own(), images(20)
    maps = stage_map(encoder, "second.1", few.tensor()).double()
    expected = maps.clamp(min=0).mean(dim=(0, 2, 3))
    found = mean_activation(encoder, "second.1", few, Watch())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_activity_counts_every_image_of_several_batches_once():
    encoder, many = own(), images(300)
    expected = stage_map(encoder, "second", many.tensor()).mean(dim=(0, 2, 3))
    torch.testing.assert_close(mean_activation(encoder, "second", many, Watch()), expected)


def test_the_least_active_channels_go_first():
    activity = torch.tensor([3.0, 0.0, 2.0, 1.0])
    assert least_active(activity, 2).tolist() == [False, True, False, True]
    assert not least_active(activity, 0).any()


@pytest.mark.parametrize(
    ("channels", "counts"),
    [(1, []), (3, [1, 2]), (100, list(range(1, 100))), (512, None)],
)
def test_steps_are_of_one_percent(channels, counts):
    found = percent_steps(channels)
    if counts is None:
        counts = [round(channels * percent / 100) for percent in range(1, 100)]
    assert list(found) == counts


def test_channels_asleep_on_clean_images_cost_nothing_and_are_pruned():
    suspect = own(asleep=True)
    purified = FinePruning(epochs=0, tolerance=1e-6)(suspect, images(), trainer=Watch()).encoder
    assert dead(purified) == ASLEEP
    assert torch.equal(purified(images().tensor()), suspect(images().tensor()))


def test_a_larger_budget_prunes_more():
    found = [
        set(dead(FinePruning(epochs=0, tolerance=t)(own(), images(), trainer=Watch()).encoder))
        for t in (1e-6, 0.2, 2.0)
    ]
    assert found[0] < found[1] < found[2]
    assert len(found[2]) == 5


def test_without_a_budget_it_is_fine_tuning():
    settings = {"epochs": 1, "learning_rate": 1e-3}
    pruned = FinePruning(tolerance=0.0, **settings)(own(), images(), trainer=Watch()).encoder
    tuned = FineTune(**settings)(own(), images(), trainer=Watch()).encoder
    assert identical(state(pruned), state(tuned))


def test_pruned_channels_are_still_off_after_fine_tuning():
    defense = FinePruning(epochs=3, learning_rate=1e-2, tolerance=1e-6)
    purified = defense(own(asleep=True), images(), trainer=Watch()).encoder
    assert dead(purified) == ASLEEP


def test_the_optimizer_alone_would_wake_pruned_channels_up():
    student, off = own(), torch.tensor([True] + [False] * 5)
    prune(student, {"second.1": off})
    objective = PrunedFineTuneObjective(
        student.requires_grad_(True), own(), (8, 8), clone_weight=1.0, pruned={"second.1": off}
    )
    with torch.no_grad():
        student.backbone.second[1].weight.add_(0.1)
        student.backbone.second[1].bias.add_(0.1)
    assert dead(student) == []
    objective.after_step()
    assert dead(student) == [0]


@pytest.mark.parametrize("tolerance", [-0.1, 2.1, float("nan")])
def test_a_tolerance_out_of_range_is_refused(tolerance):
    with pytest.raises(InputError, match="tolerance"):
        FinePruning(tolerance=tolerance)


def test_residual_networks_lose_channels_of_the_whole_stage():
    purified = FinePruning(epochs=0, tolerance=2.0)(resnet(), images(), trainer=Watch()).encoder
    assert dead(purified, "layer3.0.bn2") == dead(purified, "layer3.0.downsample.1") != []
