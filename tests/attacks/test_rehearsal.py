import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.rehearsal import MOMENTUM, Rehearsal, Students, Victim
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError

IMAGES = torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(0)).double()
OTHERS = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1)).double()


def mean_square(student: Encoder, teacher: Encoder, images: Tensor) -> Tensor:
    return (student(images) - teacher(images)).square().mean()


def linear(seed: int) -> Encoder:
    """A linear encoder in float64 for images of 2x2 pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    return Encoder(backbone).double()


@pytest.fixture
def victim() -> Victim:
    return Victim(linear(0), mean_square, learning_rate=0.3, lifetime=100, age=0, seed=1)


def outcome(victim: Victim, weight: Tensor) -> Tensor:
    """What the attacker cares about: how near features of the student one step ahead are to ones.

    The teacher is linear in `weight`, shape (3, 12).
    """

    def teacher(images: Tensor) -> Tensor:
        return images.flatten(1) @ weight.T

    features = victim.features(victim.look_ahead(teacher, IMAGES), OTHERS)
    return F.cosine_similarity(features, torch.ones_like(features), dim=1).mean()


def test_the_gradient_through_a_step_equals_finite_differences(victim):
    weight = linear(2).backbone[1].weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda w: outcome(victim, w), (weight,), rtol=1e-5)


def test_the_gradient_equals_finite_differences_also_with_velocity(victim):
    weight = linear(2).backbone[1].weight.detach().clone().requires_grad_()
    for _ in range(3):
        outcome(victim, weight)
        victim.advance()
    assert torch.autograd.gradcheck(lambda w: outcome(victim, w), (weight,), rtol=1e-5)


def test_following_the_gradient_teaches_the_student_what_the_attacker_wants(victim):
    weight = linear(2).backbone[1].weight.detach().clone().requires_grad_()
    before = outcome(victim, weight)
    before.backward()
    assert outcome(victim, weight + 0.1 * weight.grad / weight.grad.norm()) > before


def test_steps_are_those_of_sgd_with_momentum(victim):
    teacher, reference = linear(2), victim.student.copy().requires_grad_(True)
    optimizer = torch.optim.SGD(reference.parameters(), 0.3, momentum=MOMENTUM)
    for _ in range(4):
        optimizer.zero_grad()
        mean_square(reference, teacher, IMAGES).backward()
        optimizer.step()
        victim.look_ahead(teacher, IMAGES)
        victim.advance()
    pairs = zip(victim.student.parameters(), reference.parameters(), strict=True)
    assert all(torch.allclose(mine, theirs, rtol=1e-12, atol=0) for mine, theirs in pairs)


def test_looking_ahead_does_not_move_the_student(victim):
    before = victim.student.copy().state_dict()
    victim.look_ahead(linear(2), IMAGES)
    after = victim.student.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_a_look_ahead_there_is_no_step(victim):
    victim.advance()
    assert victim.steps == 0


def test_students_are_no_parameters_of_the_attack(victim):
    assert not any(parameter.requires_grad for parameter in victim.parameters())


def test_a_backward_pass_leaves_no_gradient_on_the_student(victim):
    outcome(victim, linear(2).backbone[1].weight).backward()
    assert all(parameter.grad is None for parameter in victim.parameters())


def test_a_part_that_the_features_do_not_use_stays(victim):
    victim.student.backbone[1].register_parameter("unused", nn.Parameter(torch.ones(2).double()))
    victim.velocity.append(torch.zeros(2).double())
    victim.look_ahead(linear(2), IMAGES)
    victim.advance()
    assert torch.equal(victim.student.backbone[1].unused, torch.ones(2).double())


def test_at_the_end_of_its_lifetime_a_student_starts_from_new_weights():
    victim = Victim(linear(0), mean_square, learning_rate=0.3, lifetime=2, age=0, seed=1)
    first = victim.student.backbone[1].weight.clone()
    for _ in range(2):
        victim.look_ahead(linear(2), IMAGES)
        victim.advance()
    fresh = victim.student.backbone[1].weight
    assert not torch.equal(fresh, first)
    assert fresh.abs().max() <= 12**-0.5
    assert not any(velocity.any() for velocity in victim.velocity)


def test_the_first_quarter_of_each_life_is_childhood():
    victim = Victim(linear(0), mean_square, learning_rate=0.3, lifetime=8, age=0, seed=1)
    children = []
    for _ in range(16):
        children.append(victim.is_child)
        victim.look_ahead(linear(2), IMAGES)
        victim.advance()
    assert children == 2 * (2 * [True] + 6 * [False])


def test_features_ahead_are_those_of_use_not_of_training():
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.BatchNorm1d(3))
    encoder = Encoder(backbone).double()
    victim = Victim(encoder, mean_square, learning_rate=0.3, lifetime=9, age=0, seed=1)
    victim.train()
    ahead = victim.look_ahead(linear(2), IMAGES)
    together = victim.features(ahead, OTHERS)
    alone = torch.cat([victim.features(ahead, image[None]) for image in OTHERS])
    assert torch.allclose(together, alone)
    assert victim.student.backbone[2].training


def test_statistics_of_batch_normalisation_follow_the_student():
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.BatchNorm1d(3))
    victim = Victim(
        Encoder(backbone).double(), mean_square, learning_rate=0.3, lifetime=9, age=0, seed=1
    )
    victim.train()
    victim.look_ahead(linear(2), IMAGES)
    assert victim.student.backbone[2].num_batches_tracked == 1


@pytest.fixture
def rehearsal() -> Rehearsal:
    students = Students(count=3, learning_rate=0.1, lifetime=10, seed=0)
    return Rehearsal(linear(0), mean_square, students)


def test_students_have_different_weights(rehearsal):
    weights = {tuple(v.student.backbone[1].weight.flatten().tolist()) for v in rehearsal.victims}
    assert len(weights) == 3


def test_students_have_different_ages(rehearsal):
    assert [int(victim.steps) for victim in rehearsal.victims] == [0, 3, 6]


def test_only_the_encoder_is_left_to_the_optimizer(rehearsal):
    trained = {name for name, p in rehearsal.named_parameters() if p.requires_grad}
    assert trained == {"encoder.backbone.1.weight", "encoder.backbone.1.bias"}


def test_a_rehearsal_goes_on_from_its_state(rehearsal):
    teacher = linear(2)
    for victim in rehearsal.victims:
        victim.look_ahead(teacher, IMAGES)
        victim.advance()
    other = Rehearsal(
        linear(5), mean_square, Students(count=3, learning_rate=0.1, lifetime=10, seed=7)
    )
    other.load_state_dict(rehearsal.state_dict())
    pairs = list(zip(rehearsal.victims, other.victims, strict=True))
    for mine, restored in pairs:
        for victim in (mine, restored):
            victim.look_ahead(teacher, IMAGES)
            victim.advance()
    assert all(
        torch.equal(a, b)
        for mine, restored in pairs
        for a, b in zip(mine.state_dict().values(), restored.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    "settings",
    [{"count": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"lifetime": 0}],
    ids=["no student", "no rate", "not a rate", "no life"],
)
def test_students_that_cannot_be_are_refused(settings):
    valid = {"count": 1, "learning_rate": 0.1, "lifetime": 1, "seed": 0}
    with pytest.raises(InputError, match="must be 1 or more"):
        Students(**(valid | settings))
