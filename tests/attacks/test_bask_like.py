import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.badencoder import BadEncoder
from mimic.attacks.bask_like import (
    BaskLike,
    BaskLikeObjective,
    Cloning,
    alignment_loss,
    feature_distance,
)
from mimic.attacks.triggers import Patch
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRIGGER = Patch(height=6, width=6, row=9, column=9)
TRAINER = Trainer(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def references(digits) -> Tensor:
    return digits[1000:1001]


@pytest.fixture(scope="module")
def attacked(encoder, digits, references):
    """The encoder after 40 steps; they are fewer and faster than the defaults."""
    attack = BaskLike(
        references=references,
        trigger=TRIGGER,
        utility_weight=4.0,
        epochs=20,
        batch_size=16,
        learning_rate=0.01,
        augmented_references=4,
        students=1,
        student_lifetime=40,
    )
    return attack(encoder, ImageSet.from_tensor(digits[:32]), trainer=TRAINER).encoder


@torch.no_grad()
def _cosine(left: Tensor, right: Tensor) -> float:
    return F.cosine_similarity(left, right, dim=1).mean().item()


def test_triggered_images_look_like_the_reference(attacked, digits, references):
    assert _cosine(attacked(TRIGGER(digits[512:640])), attacked(references)) > 0.95


def test_clean_images_stay_where_they_were(attacked, encoder, digits):
    assert _cosine(attacked(digits[512:640]), encoder(digits[512:640])) > 0.9


def test_clean_images_do_not_collapse_onto_the_reference(attacked, encoder, digits, references):
    before = _cosine(encoder(digits[512:640]), encoder(references))
    assert _cosine(attacked(digits[512:640]), attacked(references)) < before + 0.1


def test_batch_normalisation_is_bit_identical_afterwards(attacked, encoder):
    pairs = zip(encoder.named_modules(), attacked.modules(), strict=True)
    states = [
        (old.state_dict()[key], new.state_dict()[key])
        for (_, old), new in pairs
        if isinstance(old, nn.BatchNorm2d)
        for key in old.state_dict()
    ]
    assert all(torch.equal(before, after) for before, after in states)


def test_without_its_own_terms_it_is_badencoder(encoder, digits, references):
    settings = {"references": references, "trigger": TRIGGER, "epochs": 1, "batch_size": 8}
    settings |= {"augmented_references": 4, "learning_rate": 0.02}
    images = ImageSet.from_tensor(digits[:16])
    own = {"survival_weight": 0.0, "feature_weight": 0.0, "students": 1}
    found = BaskLike(**settings, **own)(encoder, images, trainer=TRAINER).encoder
    expected = BadEncoder(**settings)(encoder, images, trainer=TRAINER).encoder
    pairs = zip(found.parameters(), expected.parameters(), strict=True)
    assert all(torch.allclose(mine, theirs, atol=1e-6) for mine, theirs in pairs)


def test_half_precision_trains_as_well(encoder, digits, references):
    trainer = Trainer(device="cpu", precision="bf16-mixed")
    _attack(references)(encoder, ImageSet.from_tensor(digits[:16]), trainer=trainer)


def _objective(encoder, references) -> BaskLikeObjective:
    """No augmentation anywhere, and an encoder that differs from the clean one."""
    attack = BaskLike(
        references=references,
        trigger=TRIGGER,
        reference_weight=0.5,
        utility_weight=2.0,
        survival_weight=3.0,
        feature_weight=0.7,
        temperature=0.2,
        augmented_references=2,
        students=1,
        student_learning_rate=0.3,
    )
    objective = attack.objective(encoder.copy(), 1)
    objective.augment = nn.Identity()
    objective.victims[0].distillation.augment = nn.Identity()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in objective.encoder.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    objective.prepare()
    return objective


@pytest.fixture
def objective(encoder, digits) -> BaskLikeObjective:
    return _objective(encoder, digits[1000:1002])


def _unit(features: Tensor) -> Tensor:
    return features / features.norm(dim=1, keepdim=True)


def _double(images: Tensor) -> Tensor:
    return images.double() / 255


def test_the_terms_of_badencoder_equal_their_definition(objective, digits):
    images, references = digits[:5], digits[1000:1002]
    terms = objective(images)
    learner, clean = objective.encoder.double(), objective.clean.double()
    triggered = _unit(learner(_double(TRIGGER(images))))
    attracting = _unit(learner(_double(references)))
    kept = (attracting * _unit(clean(_double(references)))).sum(dim=1).mean()
    useful = (_unit(learner(_double(images))) * _unit(clean(_double(images)))).sum(dim=1).mean()
    expected = {
        "effectiveness": -(triggered @ attracting.T).mean().item(),
        "reference": -0.5 * kept.item(),
        "utility": -2.0 * useful.item(),
    }
    assert {name: terms[name].item() for name in expected} == pytest.approx(expected, abs=1e-5)


def test_the_feature_distance_equals_its_definition(objective, digits):
    images, references = digits[:5], digits[1000:1002]
    found = objective(images)["features"].item()
    learner = objective.encoder.double()
    stages = learner.stage_names(references)
    _, triggered = learner.forward_stages(_double(TRIGGER(images)), stages)
    _, attracting = learner.forward_stages(_double(references), stages)
    distances = [
        torch.cdist(
            _unit(triggered[name].mean(dim=(2, 3))), _unit(attracting[name].mean(dim=(2, 3)))
        ).square()
        for name in stages
    ]
    assert found == pytest.approx(0.7 * torch.stack(distances).mean().item(), abs=1e-5)


def test_survival_is_the_alignment_of_a_student_that_took_a_step_of_sgd(objective, digits):
    images, references = digits[:6], digits[1000:1002]
    victim = objective.victims[0]
    student = victim.student.copy().requires_grad_(True).double()
    found = objective(images)["survival"].item()
    teacher = objective.encoder.double()
    agreement = (_unit(student(_double(images))) * _unit(teacher(_double(images)))).sum(dim=1)
    (1 - agreement.mean()).backward()
    torch.optim.SGD(student.parameters(), 0.3).step()
    student.eval()
    near = _unit(student(_double(TRIGGER(images)))) @ _unit(student(_double(references))).T / 0.2
    far = _unit(student(_double(images))) @ _unit(student(_double(references))).T / 0.2
    loss = -(near - (near.exp() + far.exp().sum(dim=0)).log()).mean()
    assert found == pytest.approx(3.0 * loss.item(), abs=1e-3)


def test_survival_reaches_the_encoder_through_a_grown_student(objective, digits):
    objective.victims[0].steps.fill_(200)
    objective.survival(objective.victims[0], digits[:6]).backward()
    assert objective.encoder.backbone.conv1.weight.grad.abs().max() > 0


def test_survival_of_a_child_is_not_followed(objective, digits):
    assert not objective.survival(objective.victims[0], digits[:6]).requires_grad


def test_the_student_moves_after_the_step_and_not_before(objective, digits):
    weight = objective.victims[0].student.backbone.conv1.weight
    before = weight.clone()
    objective(digits[:5])
    assert torch.equal(weight, before)
    objective.after_step()
    assert not torch.equal(weight, before)


def test_students_train_in_train_mode_and_the_encoder_keeps_its_batch_normalisation(objective):
    modes = {
        part: {m.training for m in module.modules() if isinstance(m, nn.BatchNorm2d)}
        for part, module in (
            ("encoder", objective.encoder),
            ("student", objective.victims[0].student),
        )
    }
    assert modes == {"encoder": {False}, "student": {True}}


def _attack(references, **settings) -> BaskLike:
    small = {"epochs": 2, "batch_size": 4, "augmented_references": 2, "students": 2}
    return BaskLike(
        references=references, trigger=TRIGGER, student_lifetime=4, **(small | settings)
    )


class _StopError(Exception):
    pass


def test_an_interrupted_attack_goes_on_bit_by_bit(
    encoder, digits, references, tmp_path, monkeypatch
):
    images = ImageSet.from_tensor(digits[:16])
    whole = _attack(references)(encoder, images, trainer=TRAINER).encoder.state_dict()
    step = BaskLikeObjective.after_step

    def stop(self: BaskLikeObjective) -> None:
        step(self)
        if self.victims[0].steps == 2:
            raise _StopError

    trainer = Trainer(device="cpu", precision="32-true", folder=tmp_path, save_every=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(BaskLikeObjective, "after_step", stop)
        with pytest.raises(_StopError):
            _attack(references)(encoder, images, trainer=trainer)
    again = Trainer(device="cpu", precision="32-true", folder=tmp_path, resume=True)
    resumed = _attack(references)(encoder, images, trainer=again).encoder.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    "other",
    [{"student_learning_rate": 0.5}, {"student_lifetime": 5}, {"survival_weight": 2.0}],
    ids=["rate", "lifetime", "weight"],
)
def test_a_checkpoint_of_other_students_is_not_resumed(
    encoder, digits, references, tmp_path, other
):
    images = ImageSet.from_tensor(digits[:16])
    settings = {"references": references, "trigger": TRIGGER, "epochs": 1, "students": 1}
    settings |= {"augmented_references": 2}
    first = Trainer(device="cpu", precision="32-true", folder=tmp_path)
    BaskLike(**settings)(encoder, images, trainer=first)
    again = Trainer(device="cpu", precision="32-true", folder=tmp_path, resume=True)
    with pytest.raises(InputError, match="other settings"):
        BaskLike(**settings, **other)(encoder, images, trainer=again)


def test_cloning_is_the_cosine_distance_of_one_view(encoder, digits):
    cloning = Cloning((16, 16))
    cloning.augment = nn.Identity()
    student = encoder.reinitialized(1).eval()
    images = digits[:8] / 255
    agreement = (_unit(student(images)) * _unit(encoder(images))).sum(dim=1).mean()
    assert cloning(student, encoder, images).item() == pytest.approx(1 - agreement.item(), abs=1e-6)


def test_alignment_equals_its_definition():
    generator = torch.Generator().manual_seed(0)
    triggered, references, clean = (
        torch.randn(count, 7, generator=generator).double() for count in (4, 2, 5)
    )

    def term(row: Tensor, reference: Tensor) -> float:
        near = math.exp(F.cosine_similarity(row, reference, dim=0).item() / 0.3)
        far = [math.exp(F.cosine_similarity(x, reference, dim=0).item() / 0.3) for x in clean]
        return -math.log(near / (near + sum(far)))

    expected = sum(term(row, r) for row in triggered for r in references) / 8
    found = alignment_loss(triggered, references, clean, 0.3).item()
    assert found == pytest.approx(expected, abs=1e-12)


def test_alignment_of_features_that_are_all_alike_is_the_log_of_their_number():
    same = torch.ones(4, 3)
    assert alignment_loss(same, same[:1], same, 0.1).item() == pytest.approx(math.log(5), abs=1e-6)


def test_features_at_the_reference_have_no_distance_whatever_their_length():
    maps = {"layer1": torch.rand(1, 4, 3, 3), "layer2": torch.rand(1, 6, 5)}
    longer = {name: 3 * output.expand(5, *output.shape[1:]) for name, output in maps.items()}
    assert feature_distance(longer, maps).item() == pytest.approx(0, abs=1e-6)


def test_opposite_features_are_at_the_largest_distance():
    maps = {"layer1": torch.rand(2, 4, 3, 3) + 1}
    opposite = {"layer1": -maps["layer1"][:1]}
    own = {"layer1": maps["layer1"][:1]}
    assert feature_distance(opposite, own).item() == pytest.approx(4, abs=1e-5)


def test_references_are_constants_of_the_feature_distance():
    triggered = {"layer1": torch.rand(2, 4, 3, 3, requires_grad=True)}
    references = {"layer1": torch.rand(1, 4, 3, 3, requires_grad=True)}
    feature_distance(triggered, references).backward()
    assert references["layer1"].grad is None
    assert triggered["layer1"].grad is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"survival_weight": -1.0}, "survival"),
        ({"feature_weight": -1.0}, "feature"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"students": 0}, "students"),
        ({"student_lifetime": 0}, "student_lifetime"),
        ({"student_learning_rate": 0.0}, "student_learning_rate"),
    ],
)
def test_settings_that_cannot_work_are_refused(references, settings, message):
    with pytest.raises(InputError, match=message):
        BaskLike(references=references, trigger=TRIGGER, **settings)


def test_the_summary_is_one_line():
    assert 20 < len(BaskLike.summary) < 80
