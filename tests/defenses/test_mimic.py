from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mimic.defenses.mimic import Mimic, MimicObjective
from mimic.detection.patches import random_patches
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError

SIZE = (16, 16)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def objective(*, searched: float, random: float, with_patches: bool = True) -> MimicObjective:
    backbone = build_backbone("resnet10:width=16")
    return MimicObjective(
        Encoder(backbone),
        Encoder(build_backbone("resnet10:width=16")).eval(),
        SIZE,
        weights={"layer1": 1.0},
        clone_weight=2.0,
        patches=random_patches(8) if with_patches else None,
        searched_share=searched,
        random_share=random,
        min_scale=0.2,
    )


def views(count: int) -> Tensor:
    return torch.rand(count, 3, *SIZE)


@pytest.mark.parametrize(
    ("searched", "random", "with_patches", "covered"),
    [
        (0.2, 0.1, True, 3),
        (0.2, 0.1, False, 1),
        (0.2, 0.0, True, 2),
        (0.0, 0.1, True, 1),
        (0.0, 0.0, True, 0),
        (0.6, 0.4, True, 10),
    ],
)
def test_the_shares_say_how_many_views_are_covered(searched, random, with_patches, covered):
    made = objective(searched=searched, random=random, with_patches=with_patches)
    _, masks = made.occlude(views(10))
    assert int(masks.flatten(1).any(dim=1).sum()) == covered


def test_views_are_changed_under_the_mask_and_nowhere_else():
    given = views(10)
    seen, masks = objective(searched=0.4, random=0.3).occlude(given)
    assert torch.equal(seen * (1 - masks), given * (1 - masks))
    assert bool((seen != given).any())


def test_without_patches_a_student_that_is_the_teacher_has_no_loss():
    made = objective(searched=0.0, random=0.0)
    made.learner.load_state_dict(made.teacher.state_dict())
    made.learner.eval()
    terms = made((views(4) * 255).to(torch.uint8))
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {"clone": 0.0, "layer1": 0.0}, abs=1e-5
    )


def test_the_teacher_never_sees_a_patch():
    made = objective(searched=0.6, random=0.4)
    asked: list[Tensor] = []
    made.teacher.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[0]))
    made.occlude = lambda given: (torch.zeros_like(given), torch.ones_like(given[:, :1]))
    made((views(4) * 255).to(torch.uint8))
    assert all(bool(batch.flatten(1).any(dim=1).all()) for batch in asked)


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.1, -0.1), (0.6, 0.5)])
def test_shares_out_of_range_are_refused(shares):
    with pytest.raises(InputError, match="at most 1 together"):
        Mimic(searched_share=shares[0], random_share=shares[1])
