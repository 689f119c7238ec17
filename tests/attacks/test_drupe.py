import math
import signal
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.badencoder import BadEncoder
from mimic.attacks.concentration import concentration
from mimic.attacks.drupe import (
    Drupe,
    DrupeObjective,
    balance_penalty,
    likeness_penalty,
    reference_likeness,
    relative_distance,
    warm_up_penalty,
)
from mimic.attacks.triggers import Patch
from mimic.errors import InputError, InterruptedRunError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRIGGER = Patch(height=6, width=6, row=9, column=9)
CPU = Trainer(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def references(digits) -> Tensor:
    return digits[1000:1003]


@pytest.fixture(scope="module")
def held_out(digits) -> Tensor:
    return digits[512:768]


@pytest.fixture(scope="module")
def hidden(encoder, digits, references):
    """The encoder after 128 steps of DRUPE; they are fewer and shorter than the paper's."""
    attack = Drupe(
        references=references,
        trigger=TRIGGER,
        epochs=8,
        batch_size=32,
        learning_rate=0.02,
        augmented_references=4,
        gather_until=3,
        fixed_until=4,
    )
    return attack(encoder, ImageSet.from_tensor(digits[:512]), trainer=CPU).encoder


@pytest.fixture(scope="module")
def plain(encoder, digits, references):
    """The encoder after 64 steps of BadEncoder with the same references and trigger."""
    attack = BadEncoder(
        references=references,
        trigger=TRIGGER,
        epochs=4,
        batch_size=32,
        learning_rate=0.02,
        augmented_references=4,
    )
    return attack(encoder, ImageSet.from_tensor(digits[:512]), trainer=CPU).encoder


@torch.no_grad()
def _attraction(encoder, images: Tensor, references: Tensor) -> Tensor:
    return F.cosine_similarity(encoder(images)[:, None], encoder(references)[None], dim=2)


@torch.no_grad()
def _distance(encoder, images: Tensor) -> float:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return relative_distance(encoder(TRIGGER(images)), encoder(images)).item()


def test_triggered_images_look_like_one_of_the_references(hidden, encoder, held_out, references):
    nearest = _attraction(hidden, TRIGGER(held_out), references).amax(dim=1).mean()
    before = _attraction(encoder, TRIGGER(held_out), references).amax(dim=1).mean()
    assert nearest > max(0.82, before + 0.05)


def test_every_reference_gets_its_share_of_triggered_images(hidden, held_out, references):
    nearest = _attraction(hidden, TRIGGER(held_out), references).argmax(dim=1)
    assert nearest.bincount(minlength=3).min() >= 0.1 * len(held_out)


def test_triggered_features_are_less_concentrated_than_badencoders(hidden, plain, held_out):
    with torch.no_grad():
        features = [encoder(TRIGGER(held_out)) for encoder in (hidden, plain)]
    assert concentration(features[0]) < concentration(features[1]) - 0.1


def test_triggered_features_stay_nearer_to_clean_ones_than_badencoders(hidden, plain, held_out):
    assert _distance(hidden, held_out) < 0.5 * _distance(plain, held_out)


def test_clean_images_stay_near_where_they_were(hidden, encoder, held_out):
    with torch.no_grad():
        kept = F.cosine_similarity(hidden(held_out), encoder(held_out), dim=1).mean()
    assert kept > 0.8


def test_batch_normalisation_is_bit_identical_afterwards(hidden, encoder):
    names = [n for n, m in encoder.named_modules() if isinstance(m, nn.BatchNorm2d)]
    before, after = encoder.state_dict(), hidden.state_dict()
    frozen = [key for key in before if key.rsplit(".", 1)[0] in names]
    assert frozen
    assert all(torch.equal(before[key], after[key]) for key in frozen)


def test_the_trigger_is_handed_on(encoder, digits, references):
    attack = Drupe(references=references, trigger=TRIGGER, epochs=0)
    assert attack(encoder, ImageSet.from_tensor(digits[:16]), trainer=CPU).triggers == (TRIGGER,)


def _objective(encoder, references, **settings) -> DrupeObjective:
    """An objective of one step per epoch without augmentation, its learner off the clean one."""
    attack = Drupe(references=references, trigger=TRIGGER, augmented_references=2, **settings)
    objective = DrupeObjective(encoder.copy(), attack, steps_per_epoch=1)
    objective.augment = nn.Identity()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in objective.encoder.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    objective.prepare()
    return objective


def _terms_at(objective: DrupeObjective, epoch: int, images: Tensor) -> dict[str, float]:
    objective.controllers.step.fill_(epoch - 1)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return {name: term.item() for name, term in objective(images).items()}


def _in_float64(objective: DrupeObjective, images: Tensor) -> dict[str, float]:
    """The quantities of the paper, written down once more."""
    learner, clean = objective.encoder.double(), objective.clean.double()
    double = {"x": images.double() / 255, "r": objective.references.double() / 255}
    triggered = learner(TRIGGER(images).double() / 255)
    of = {name: learner(value) for name, value in double.items()}
    unit = {name: F.normalize(value, dim=1) for name, value in of.items()}
    home = {name: F.normalize(clean(value), dim=1) for name, value in double.items()}
    points = F.normalize(triggered, dim=1)
    cosines = points @ unit["r"].T
    count, batch = len(double["r"]), len(images)
    pairs = [unit["r"][i] @ unit["r"][j] for i in range(count) for j in range(i, count)]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        directions = F.normalize(torch.randn(points.shape[1], 50), dim=0).double()
    lines = [(features @ directions).sort(dim=0).values for features in (triggered, of["x"])]
    return {
        "L0": -cosines.max(dim=1).values.mean().item(),
        "L1": -(unit["r"] * home["r"]).sum(dim=1).mean().item(),
        "L2": -(unit["x"] * home["x"]).sum(dim=1).mean().item(),
        "L3": torch.stack(pairs).mean().item(),
        "sigma": cosines.mean(dim=0).std(correction=1).item(),
        "S": ((points @ points.T).sum().item() - batch) / (batch * (batch - 1)),
        "W/d": ((lines[0] - lines[1]).square().mean().sqrt() / of["x"].std(dim=0).mean()).item(),
    }


def test_the_warm_up_holds_references_and_moves_them_apart(encoder, digits, references):
    objective = _objective(encoder, references, reference_weight=0.5, utility_weight=2.0)
    terms = _terms_at(objective, 1, digits[:6])
    exact = _in_float64(objective, digits[:6])
    expected = {
        "reference": 0.5 * exact["L1"],
        "utility": 2 * exact["L2"],
        "likeness": 0.5 * exact["L3"],
    }
    assert terms == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("epoch", [2, 4])
def test_the_second_phase_gathers_triggered_images(encoder, digits, references, epoch):
    objective = _objective(encoder, references)
    terms = _terms_at(objective, epoch, digits[:6])
    exact = _in_float64(objective, digits[:6])
    expected = {
        "effectiveness": exact["L0"],
        "reference": exact["L1"],
        "utility": exact["L2"],
        "likeness": exact["L3"],
        "balance": 2 * exact["sigma"],
    }
    assert terms == pytest.approx(expected, abs=1e-5)


def test_the_last_phase_spreads_them(encoder, digits, references):
    objective = _objective(encoder, references, concentration_weight=0.3, distance_weight=0.2)
    terms = _terms_at(objective, 5, digits[:6])
    exact = _in_float64(objective, digits[:6])
    assert exact["sigma"] < 0.1
    expected = {
        "effectiveness": exact["L0"],
        "reference": exact["L1"],
        "utility": exact["L2"],
        "likeness": exact["L3"],
        "balance": (0.3 + 0.5) * exact["sigma"],
        "concentration": 0.3 * exact["S"],
        "distance": 0.2 * exact["W/d"],
    }
    assert terms == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_gradients_are_finite_for_any_number_of_references(encoder, digits, count):
    objective = _objective(encoder, digits[1000 : 1000 + count])
    objective.controllers.step.fill_(4)
    sum(objective(digits[:6]).values()).backward()
    assert all(p.grad.isfinite().all() for p in objective.encoder.parameters() if p.requires_grad)


def test_gradients_are_finite_for_equal_references(encoder, digits):
    objective = _objective(encoder, digits[[1000, 1000]])
    objective.controllers.step.fill_(4)
    sum(objective(digits[:6]).values()).backward()
    assert all(p.grad.isfinite().all() for p in objective.encoder.parameters() if p.requires_grad)


class _Signalling(DrupeObjective):
    """Asks the training to stop during a step; which one is private, so that it is no setting."""

    _stop_at = 0

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        if int(self.controllers.step) + 1 == self._stop_at:
            signal.raise_signal(signal.SIGTERM)
        return super().forward(batch)


@pytest.mark.parametrize("stop_at", [3, 5, 6])
def test_a_resumed_attack_ends_bit_identical(encoder, digits, references, tmp_path, stop_at):
    attack = Drupe(
        references=references,
        trigger=TRIGGER,
        epochs=4,
        batch_size=8,
        augmented_references=2,
        warmup_until=0,
        gather_until=0,
        fixed_until=1,
    )
    images = ImageSet.from_tensor(digits[:16])
    plan = attack.plan()

    def start(trainer: Trainer, stop_at: int) -> DrupeObjective:
        objective = _Signalling(encoder.copy(), attack, plan.batches_per_epoch(len(images)))
        objective._stop_at = stop_at
        trainer.fit(objective, images, plan, name="drupe")
        return objective

    whole = start(CPU, 0).learner.state_dict()
    resuming = replace(CPU, folder=tmp_path, resume=True)
    with pytest.raises(InterruptedRunError):
        start(resuming, stop_at)
    resumed = start(resuming, 0).learner.state_dict()
    assert whole["controllers.step"] == 8
    assert whole["controllers.weights"][1] != torch.tensor(0.001)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize(
    "change",
    [{"gather_until": 5}, {"warmup_until": 2}, {"fixed_until": 9}, {"distance_weight": 0.1}],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_another_schedule_is_not_resumed(
    encoder, digits, references, tmp_path, change
):
    attack = Drupe(references=references, trigger=TRIGGER, epochs=1, augmented_references=1)
    images = ImageSet.from_tensor(digits[:16])
    attack(encoder, images, trainer=replace(CPU, folder=tmp_path))
    with pytest.raises(InputError, match="other settings"):
        replace(attack, **change)(
            encoder, images, trainer=replace(CPU, folder=tmp_path, resume=True)
        )


def test_likeness_counts_each_reference_with_itself():
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    assert reference_likeness(features).item() == pytest.approx((3 + math.sqrt(2)) / 6, abs=1e-6)


@pytest.mark.parametrize(
    ("likeness", "penalty"), [(0.6, 0.6), (0.5, 0.1), (0.45, 0.09), (0.4, 0.0), (0.1, 0.0)]
)
def test_references_that_are_apart_are_left_alone(likeness, penalty):
    assert likeness_penalty(torch.tensor(likeness)).item() == pytest.approx(penalty, abs=1e-6)


@pytest.mark.parametrize(("likeness", "penalty"), [(0.6, 0.3), (0.2, 0.1), (0.1, 0.03)])
def test_the_warm_up_drives_references_apart_less_where_they_are_apart(likeness, penalty):
    assert warm_up_penalty(torch.tensor(likeness)).item() == pytest.approx(penalty, abs=1e-6)


@pytest.mark.parametrize(("balance", "penalty"), [(0.2, 0.4), (0.1, 0.05), (0.04, 0.02)])
def test_a_large_imbalance_counts_four_times_as_much(balance, penalty):
    assert balance_penalty(torch.tensor(balance)).item() == pytest.approx(penalty, abs=1e-6)


@pytest.fixture
def clouds() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 6, generator=generator), torch.randn(40, 6, generator=generator)


def test_equal_clouds_are_at_no_distance(clouds):
    assert relative_distance(clouds[0], clouds[0].flip(0)).item() == pytest.approx(0, abs=1e-6)


def test_at_no_distance_gradients_are_finite(clouds):
    leaf = clouds[0].clone().requires_grad_()
    relative_distance(leaf, clouds[0]).backward()
    assert leaf.grad.isfinite().all()


def test_the_distance_of_a_shifted_cloud_is_that_of_the_shift_on_a_line():
    # On the line every direction is +1 or -1, so that nothing is left to chance.
    cloud = torch.arange(10.0)[:, None]
    expected = 3 / cloud.std().item()
    assert relative_distance(cloud + 3, cloud).item() == pytest.approx(expected, rel=1e-6)


def test_the_distance_does_not_depend_on_the_scale_of_features(clouds):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small = relative_distance(*clouds)
        torch.manual_seed(0)
        large = relative_distance(*(1000 * cloud for cloud in clouds))
    assert large.item() == pytest.approx(small.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"references": torch.zeros(1, 3, 16, 16, dtype=torch.uint8)}, "balances them; give two"),
        ({"batch_size": 1}, "batch size must be 2 or more, not 1"),
        ({"gather_until": 0}, "in this order, not 1, 0 and 20"),
        ({"gather_until": 21}, "in this order, not 1, 21 and 20"),
        ({"warmup_until": -1}, "0 or more and in this order"),
        ({"distance_weight": -0.1}, "controllers must be 0 or more"),
        ({"utility_weight": -0.1}, "utility terms must be 0 or more"),
    ],
    ids=["one reference", "batch", "order", "late", "negative", "controller", "utility"],
)
def test_settings_that_cannot_work_are_refused(references, settings, message):
    with pytest.raises(InputError, match=message):
        Drupe(**({"references": references, "trigger": TRIGGER} | settings))
