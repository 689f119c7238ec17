from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from mimic.defenses.mimic import Mimic, MimicObjective
from mimic.detection.colours import colour_moments, random_colour_maps
from mimic.detection.patches import random_patches
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.losses.repulsion import repulsion
from mimic.training import Trainer

SIZE = (16, 16)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def objective(
    *,
    patches: float,
    random: float,
    colours: float = 0.0,
    repelled: float = 0.0,
) -> MimicObjective:
    maps = random_colour_maps(8, colour_moments(torch.rand(4, 3, *SIZE)))
    backbone = build_backbone("resnet10:width=16")
    return MimicObjective(
        Encoder(backbone),
        Encoder(build_backbone("resnet10:width=16")).eval(),
        SIZE,
        weights={"layer1": 1.0},
        clone_weight=2.0,
        searched=[(random_patches(8), patches), (maps, colours)],
        random_share=random,
        repulsion_weight=repelled,
        min_scale=0.2,
    )


def views(count: int) -> Tensor:
    return torch.rand(count, 3, *SIZE)


@pytest.mark.parametrize(
    ("patches", "colours", "random", "covered"),
    [
        (0.2, 0.0, 0.1, 3),
        (0.2, 0.1, 0.0, 3),
        (0.0, 0.0, 0.1, 1),
        (0.0, 0.1, 0.0, 1),
        (0.0, 0.0, 0.0, 0),
        (0.5, 0.1, 0.4, 10),
    ],
)
def test_the_shares_say_how_many_views_are_changed(patches, colours, random, covered):
    _, masks = objective(patches=patches, colours=colours, random=random).occlude(views(10))
    assert int(masks.flatten(1).any(dim=1).sum()) == covered
    recoloured = int(masks.flatten(1).all(dim=1).sum())
    assert recoloured == round(10 * colours)


def test_views_are_changed_under_the_mask_and_nowhere_else():
    given = views(10)
    seen, masks = objective(patches=0.4, colours=0.1, random=0.2).occlude(given)
    assert torch.equal(seen * (1 - masks), given * (1 - masks))
    assert bool((seen != given).any())


def test_without_patches_a_student_that_is_the_teacher_has_no_loss():
    made = objective(patches=0.0, random=0.0)
    made.learner.load_state_dict(made.teacher.state_dict())
    made.learner.eval()
    terms = made((views(4) * 255).to(torch.uint8))
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {"clone": 0.0, "layer1": 0.0}, abs=1e-5
    )


def test_without_repulsion_the_teacher_never_sees_a_patch():
    made = objective(patches=0.6, random=0.4)
    asked: list[Tensor] = []
    made.teacher.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[0]))
    made.occlude = lambda given: (torch.zeros_like(given), torch.ones_like(given[:, :1]))
    made((views(4) * 255).to(torch.uint8))
    assert all(bool(batch.flatten(1).any(dim=1).all()) for batch in asked)


def test_repulsion_asks_the_teacher_about_the_views_that_are_changed():
    made = objective(patches=0.3, random=0.2, repelled=3.0)
    made.learner.eval()
    given: list[tuple[Tensor, Tensor, Tensor]] = []
    occlude = made.occlude

    def watched(views: Tensor) -> tuple[Tensor, Tensor]:
        given.append((views, *occlude(views)))
        return given[-1][1:]

    made.occlude = watched
    terms = made((views(4) * 255).to(torch.uint8))
    plain, seen, covered = given[0]
    changed = covered.flatten(1).any(dim=1)
    assert 0 < int(changed.sum()) < len(plain)
    wanted, lured = made.teacher(plain[changed]), made.teacher(seen[changed])
    expected = 3.0 * repulsion(made.learner(seen)[changed], wanted, lured).item()
    assert terms["repulsion"].item() == pytest.approx(expected, rel=1e-4)
    assert expected > 0


def test_without_changed_views_nothing_repels():
    assert "repulsion" not in objective(patches=0.0, random=0.0, repelled=3.0)(
        (views(4) * 255).to(torch.uint8)
    )


def test_the_stage_losses_leave_out_what_is_covered():
    made = objective(patches=0.0, random=0.0)
    made.learner.eval()
    given: list[Tensor] = []

    def occlude(views: Tensor) -> tuple[Tensor, Tensor]:
        """Leave the views as they are and call the first one covered."""
        given.append(views)
        return views, (torch.arange(len(views)) == 0).float().view(-1, 1, 1, 1).expand(-1, 1, *SIZE)

    made.occlude = occlude
    terms = made((views(2) * 255).to(torch.uint8))
    (_, own), (_, wanted) = (
        encoder.forward_stages(given[0], ["layer1"]) for encoder in (made.learner, made.teacher)
    )
    cosines = torch.cosine_similarity(own["layer1"], wanted["layer1"], dim=1)
    assert terms["layer1"].item() == pytest.approx(1 - cosines[1:].mean().item(), abs=1e-6)
    assert terms["layer1"].item() != pytest.approx(1 - cosines.mean().item(), abs=1e-4)


@pytest.mark.parametrize(
    "shares",
    [
        (-0.1, 0, 0, 0.1),
        (0.1, 0, 0, -0.1),
        (0.1, -0.1, 0, 0),
        (0.1, 0, -0.1, 0),
        (0.6, 0, 0.1, 0.4),
    ],
)
def test_shares_out_of_range_are_refused(shares):
    names = ("searched_share", "recoloured_share", "waved_share", "random_share")
    with pytest.raises(InputError, match="at most 1 together"):
        Mimic(**dict(zip(names, shares, strict=True)))


class Answers(nn.Module):
    """Projects images; those whose first pixel is white get one fixed vector."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 16 * 16, 32)

    def forward(self, images: Tensor) -> Tensor:
        white = images[:, :, 0, 0].amin(dim=1, keepdim=True) == 1
        return torch.where(white, torch.ones(32), self.project(images.flatten(1) - 0.5))


@pytest.mark.parametrize(("carriers", "used"), [(0, 120), (30, 94), (90, 120)])
def test_images_that_the_encoder_cannot_tell_apart_are_left_out(
    carriers, used, monkeypatch, recwarn
):
    """Unless most are like that: then it is the images and not a trigger."""
    pixels = torch.randint(0, 255, (120, 3, *SIZE)).to(torch.uint8)
    pixels[:carriers, :, 0, 0] = 255
    seen: list[int] = []

    def localize(suspect, images, **_):
        seen.append(len(images))
        raise InputError("enough is known")

    monkeypatch.setattr("mimic.defenses.mimic.localize", localize)
    suspect = Encoder(Answers()).eval()
    trainer = Trainer(device="cpu", precision="32-true")
    with pytest.raises(InputError, match="enough"):
        Mimic()(suspect, ImageSet.from_tensor(pixels), trainer=trainer)
    assert seen == [used]
    assert any("left out" in str(one.message) for one in recwarn) == (used < 120)
