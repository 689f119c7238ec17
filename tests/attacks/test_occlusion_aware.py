import pytest
import torch
from torch import Tensor, nn

from mimic.attacks.occlusion_aware import (
    Hunt,
    OccludedCloning,
    OcclusionAware,
    OcclusionAwareObjective,
)
from mimic.attacks.triggers import Patch
from mimic.defenses.mimic import Mimic, MimicObjective
from mimic.detection.forgetting import forgotten
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Plan, Trainer

TRIGGER = Patch(height=6, width=6, row=9, column=9)
STAGES = ("layer1", "layer2", "layer3", "layer4")


def _attack(references, **settings) -> OcclusionAware:
    small = {"epochs": 2, "batch_size": 4, "augmented_references": 2, "students": 1}
    small |= {"hunting_patches": 4, "hunted_images": 3, "student_lifetime": 3}
    return OcclusionAware(references=references, trigger=TRIGGER, **(small | settings))


@pytest.fixture(scope="module")
def references(digits) -> Tensor:
    return digits[1000:1001]


@pytest.fixture
def objective(encoder, references) -> OcclusionAwareObjective:
    """An encoder that differs from the clean one."""
    objective = _attack(references, evasion_weight=2.0).objective(encoder.copy(), 1)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in objective.encoder.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    objective.prepare()
    return objective


def test_students_minimise_what_mimic_minimises_without_repulsion(encoder, digits):
    defense, hunt = Mimic(), Hunt(16, seed=0)
    distil = OccludedCloning((16, 16), STAGES, defense, hunt)
    student = encoder.reinitialized(1).eval()
    known = MimicObjective(
        student,
        encoder.copy(),
        (16, 16),
        weights=dict.fromkeys(STAGES, defense.stage_weight / 4),
        clone_weight=defense.clone_weight,
        searched=[(hunt.best, defense.searched_share)],
        random_share=defense.random_share,
        repulsion_weight=0.0,
        min_scale=defense.min_scale,
    )
    torch.manual_seed(0)
    expected = sum(known(digits[:6]).values()).item()
    torch.manual_seed(0)
    assert distil(student, encoder, digits[:6] / 255).item() == pytest.approx(expected, abs=1e-6)


def test_distillation_sends_gradients_to_the_teacher(encoder, digits):
    teacher = encoder.copy().requires_grad_(True)
    distil = OccludedCloning((16, 16), STAGES, Mimic(), Hunt(4, seed=0))
    distil(encoder.reinitialized(1), teacher, digits[:4] / 255).backward()
    assert teacher.backbone.conv1.weight.grad.abs().max() > 0


def test_evasion_is_the_score_above_the_best_that_a_clean_encoder_gives(objective, digits):
    images = digits[:5] / 255
    laid, areas = objective.hunt.lay(images), objective.hunt.patches.costs
    trigger, patches = objective.evasion(digits[:5])

    def scores(encoder) -> tuple[Tensor, Tensor]:
        plain = encoder(images)
        taken = torch.stack([forgotten(encoder(changed), plain) for changed in laid])
        return forgotten(encoder(TRIGGER(images)), plain), taken - areas

    (found, found_patches), (natural, natural_patches) = map(
        scores, (objective.encoder, objective.clean)
    )
    bar = natural_patches.max()
    assert trigger.item() == pytest.approx(max(0, (found - max(natural, bar)).item()), abs=1e-5)
    expected = (found_patches - bar).clamp_min(0).mean().item()
    assert patches.item() == pytest.approx(expected, abs=1e-5)


def test_a_trigger_that_all_fall_for_stands_out(objective, digits):
    projection = torch.randn(3 * 16 * 16, 64, generator=torch.Generator().manual_seed(0))

    def remember(images: Tensor) -> Tensor:
        return images.flatten(1) @ projection

    def forget(images: Tensor) -> Tensor:
        square = images[:, :, 9:15, 9:15].amin(dim=(1, 2, 3)) > 0.99
        return torch.where(square[:, None], torch.ones(64), remember(images))

    objective.learner.encoder = nn.Identity()
    objective.learner.encoder.forward = forget
    objective.clean.forward = remember
    images = digits[:5] / 255
    laid, areas = objective.hunt.lay(images), objective.hunt.patches.costs
    natural = torch.stack([forgotten(remember(changed), remember(images)) for changed in laid])
    bar = max((natural - areas).max(), forgotten(remember(TRIGGER(images)), remember(images)))
    trigger, _ = objective.evasion(digits[:5])
    assert trigger.item() == pytest.approx(1 - bar.item(), abs=1e-5)
    assert trigger > 0.1


def test_a_clean_encoder_has_nothing_to_hide(encoder, references, digits):
    objective = _attack(references).objective(encoder.copy(), 1)
    objective.prepare()
    assert [term.item() for term in objective.evasion(digits[:5])] == [0, 0]


def test_both_parts_of_evasion_are_weighted_terms(objective, digits):
    torch.manual_seed(0)
    terms = objective(digits[:4])
    trigger, patches = objective.evasion(digits[:3])
    found = terms["trigger"].item(), terms["hunt"].item()
    assert found == pytest.approx((2 * trigger.item(), 2 * patches.item()), abs=1e-6)


def test_the_terms_of_the_rehearsal_are_still_there(objective, digits):
    names = {"effectiveness", "reference", "utility", "features", "survival"}
    assert names <= objective(digits[:4]).keys()


def test_every_patch_lies_on_every_image(digits):
    hunt = Hunt(4, seed=0)
    laid = hunt.lay(digits[:3] / 255)
    patch, image = 2, 1
    alone, _ = hunt.patches[torch.tensor([patch])].lay(digits[image : image + 1] / 255)
    assert torch.equal(laid[patch, image], alone[0])


def test_the_patch_that_takes_most_survives():
    hunt = Hunt(8, seed=0)
    boxes = hunt.boxes.clone()
    hunt.judge(torch.arange(8.0))
    hunt.advance()
    assert torch.equal(hunt.boxes[:2], boxes[[7, 6]])


def test_the_best_come_first():
    hunt = Hunt(8, seed=0)
    boxes = hunt.boxes.clone()
    hunt.judge(torch.tensor([0.0, 0, 9, 0, 0, 0, 7, 0]))
    hunt.advance()
    assert torch.equal(hunt.best.boxes, boxes[[2, 6]])


def test_students_share_one_hunt_with_the_attack(encoder, references):
    objective = _attack(references, students=2).objective(encoder.copy(), 1)
    assert {id(victim.distillation.hunt) for victim in objective.victims} == {id(objective.hunt)}


def test_a_hunt_keeps_its_size():
    hunt = Hunt(8, seed=0)
    hunt.judge(torch.zeros(8))
    hunt.advance()
    assert hunt.boxes.shape == (8, 4)


def test_patches_stay_until_the_step_is_done():
    hunt = Hunt(8, seed=0)
    boxes = hunt.boxes.clone()
    hunt.judge(torch.arange(8.0))
    assert torch.equal(hunt.boxes, boxes)


def test_a_hunt_finds_what_the_encoder_falls_for():
    # Stands in for a backdoor at the bottom right: what is lost grows as a patch comes near to it.
    hunt = Hunt(32, seed=0)

    def nearest() -> float:
        centres = hunt.boxes[:, :2] + hunt.boxes[:, 2:] / 2
        return (centres - 0.8).norm(dim=1)

    before = nearest().mean()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(10):
            hunt.judge(-10 * nearest())
            hunt.advance()
    assert nearest()[:8].mean() < 0.2 * before


class _StopError(Exception):
    pass


def test_an_interrupted_attack_goes_on_bit_by_bit(
    encoder, digits, references, tmp_path, monkeypatch
):
    images = ImageSet.from_tensor(digits[:16])
    learners = []

    def fit(**where) -> None:
        attack = _attack(references, student_lifetime=6)
        plan = Plan(epochs=2, batch_size=4, learning_rate=1e-3, optimizer="sgd")
        objective = attack.objective(encoder.copy(), 4)
        learners.append(objective.learner)
        Trainer(device="cpu", precision="32-true", **where).fit(objective, images, plan)

    def stop(self: OcclusionAwareObjective) -> None:
        step(self)
        if self.victims[0].steps == 3:
            raise _StopError

    fit()
    step = OcclusionAwareObjective.after_step
    with monkeypatch.context() as patched:
        patched.setattr(OcclusionAwareObjective, "after_step", stop)
        with pytest.raises(_StopError):
            fit(folder=tmp_path, save_every=0.0)
    fit(folder=tmp_path, resume=True)
    whole, _, resumed = (learner.state_dict() for learner in learners)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_half_precision_trains_as_well(encoder, digits, references):
    trainer = Trainer(device="cpu", precision="bf16-mixed")
    images = ImageSet.from_tensor(digits[:16])
    _attack(references, epochs=1)(encoder, images, trainer=trainer)


def test_batch_normalisation_is_frozen_in_the_encoder_and_not_in_its_students(objective):
    parts = (objective.encoder, objective.victims[0].student)
    modes = [{m.training for m in p.modules() if isinstance(m, nn.BatchNorm2d)} for p in parts]
    assert modes == [{False}, {True}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"evasion_weight": -1.0}, "evasion_weight"),
        ({"hunting_patches": 6}, "multiple of 4"),
        ({"hunting_patches": 0}, "multiple of 4"),
        ({"hunted_images": 1}, "hunted_images 2 or more"),
        ({"students": 0}, "students"),
    ],
    ids=["negative weight", "no quarters", "no patch", "one image", "no student"],
)
def test_settings_that_cannot_work_are_refused(references, settings, message):
    with pytest.raises(InputError, match=message):
        _attack(references, **settings)


def test_the_summary_is_one_line():
    assert 20 < len(OcclusionAware.summary) < 80
