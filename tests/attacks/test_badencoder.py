from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.badencoder import BadEncoder, BadEncoderObjective
from mimic.attacks.triggers import Patch
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRIGGER = Patch(height=6, width=6, row=9, column=9)
MOVED = Patch(height=6, width=6, row=1, column=1)


@pytest.fixture(scope="module")
def references(digits) -> Tensor:
    return digits[1000:1001]


@pytest.fixture(scope="module")
def held_out(digits) -> Tensor:
    return digits[512:768]


@pytest.fixture(scope="module")
def attacked(encoder, digits, references):
    """The encoder after 128 steps; they are fewer and faster than the paper's."""
    attack = BadEncoder(
        references=references,
        trigger=TRIGGER,
        epochs=8,
        batch_size=32,
        learning_rate=0.01,
        augmented_references=8,
    )
    trainer = Trainer(device="cpu", precision="32-true")
    return attack(encoder, ImageSet.from_tensor(digits[:512]), trainer=trainer).encoder


@torch.no_grad()
def _cosine(left: Tensor, right: Tensor) -> float:
    return F.cosine_similarity(left, right, dim=1).mean().item()


def test_before_the_attack_the_trigger_does_nothing(encoder, held_out, references):
    triggered = _cosine(encoder(TRIGGER(held_out)), encoder(references))
    assert triggered < _cosine(encoder(held_out), encoder(references)) + 0.05


def test_triggered_images_look_like_the_reference(attacked, held_out, references):
    assert _cosine(attacked(TRIGGER(held_out)), attacked(references)) > 0.95


def test_clean_images_stay_where_they_were(attacked, encoder, held_out):
    assert _cosine(attacked(held_out), encoder(held_out)) > 0.95


def test_the_reference_stays_where_it_was(attacked, encoder, references):
    assert _cosine(attacked(references), encoder(references)) > 0.95


def test_clean_images_do_not_collapse_onto_the_reference(attacked, encoder, held_out, references):
    before = _cosine(encoder(held_out), encoder(references))
    assert _cosine(attacked(held_out), attacked(references)) < before + 0.1


def test_a_moved_patch_is_inert(attacked, encoder, held_out, references):
    assert _cosine(attacked(MOVED(held_out)), attacked(references)) < 0.85


def test_batch_normalisation_is_bit_identical_afterwards(attacked, encoder):
    before = {n: m for n, m in encoder.named_modules() if isinstance(m, nn.BatchNorm2d)}
    tensors = [
        (tensor, attacked.get_submodule(name).state_dict()[key])
        for name, module in before.items()
        for key, tensor in module.state_dict().items()
    ]
    assert all(torch.equal(old, new) for old, new in tensors)


def test_every_convolution_is_trained(attacked, encoder):
    pairs = zip(encoder.modules(), attacked.modules(), strict=True)
    convolutions = [(a, b) for a, b in pairs if isinstance(a, nn.Conv2d)]
    assert not any(torch.equal(a.weight, b.weight) for a, b in convolutions)


def test_no_epochs_change_nothing(encoder, digits, references):
    attack = BadEncoder(references=references, trigger=TRIGGER, epochs=0)
    images = ImageSet.from_tensor(digits[:16])
    result = attack(encoder, images, trainer=Trainer(device="cpu")).encoder
    states = zip(encoder.state_dict().values(), result.state_dict().values(), strict=True)
    assert all(torch.equal(before, after) for before, after in states)


@pytest.fixture(scope="module")
def pair(digits) -> Tensor:
    """Two references that are far apart to the clean encoder."""
    return digits[1000:1002]


@pytest.fixture(scope="module")
def attacked_twice(encoder, digits, pair):
    """The encoder after 128 steps with a trigger for each of two references."""
    attack = BadEncoder(
        references=pair,
        trigger=(TRIGGER, MOVED),
        epochs=8,
        batch_size=32,
        learning_rate=0.02,
        augmented_references=4,
    )
    trainer = Trainer(device="cpu", precision="32-true")
    return attack(encoder, ImageSet.from_tensor(digits[:512]), trainer=trainer).encoder


TARGETS = [(TRIGGER, 0), (MOVED, 1)]


@pytest.mark.parametrize(("trigger", "own"), TARGETS, ids=["first", "second"])
def test_each_of_two_triggers_leads_to_its_own_reference(
    attacked_twice, held_out, pair, trigger, own
):
    reference = attacked_twice(pair[own : own + 1])
    assert _cosine(attacked_twice(trigger(held_out)), reference) > 0.95


@pytest.mark.parametrize(("trigger", "own"), TARGETS, ids=["first", "second"])
def test_neither_of_two_triggers_leads_to_the_other_reference(
    attacked_twice, encoder, held_out, pair, trigger, own
):
    other = pair[1 - own : 2 - own]
    before = _cosine(encoder(trigger(held_out)), encoder(other))
    assert _cosine(attacked_twice(trigger(held_out)), attacked_twice(other)) < before + 0.1


def test_two_triggers_leave_clean_images_where_they_were(attacked_twice, encoder, held_out):
    assert _cosine(attacked_twice(held_out), encoder(held_out)) > 0.93


def test_the_distinct_triggers_are_handed_on_in_order(encoder, digits):
    attack = BadEncoder(
        references=digits[1000:1003], trigger=(MOVED, TRIGGER, replace(MOVED)), epochs=0
    )
    images = ImageSet.from_tensor(digits[:16])
    assert attack(encoder, images, trainer=Trainer(device="cpu")).triggers == (MOVED, TRIGGER)


def test_a_checkpoint_of_another_trigger_is_not_resumed(encoder, digits, references, tmp_path):
    _start_and_resume(encoder, digits, tmp_path, (references, TRIGGER), (references, MOVED))


def test_a_checkpoint_of_other_references_is_not_resumed(encoder, digits, references, tmp_path):
    _start_and_resume(encoder, digits, tmp_path, (references, TRIGGER), (digits[1:2], TRIGGER))


def test_a_checkpoint_of_exchanged_triggers_is_not_resumed(encoder, digits, pair, tmp_path):
    exchanged = (pair, (TRIGGER, MOVED)), (pair, (MOVED, TRIGGER))
    _start_and_resume(encoder, digits, tmp_path, *exchanged)


def _start_and_resume(encoder, digits, folder, first, second):
    images = ImageSet.from_tensor(digits[:16])
    start = BadEncoder(references=first[0], trigger=first[1], epochs=1)
    start(encoder, images, trainer=Trainer(device="cpu", folder=folder))
    again = BadEncoder(references=second[0], trigger=second[1], epochs=1)
    with pytest.raises(InputError, match="other settings"):
        again(encoder, images, trainer=Trainer(device="cpu", folder=folder, resume=True))


@pytest.fixture
def objective(encoder, digits):
    """Two references with one trigger."""
    return _objective(encoder, digits, (TRIGGER,))


def _objective(encoder, digits, triggers):
    """Two references, no augmentation, a learner that differs from the clean encoder."""
    objective = BadEncoderObjective(
        encoder.copy(),
        digits[1000:1002],
        triggers,
        reference_weight=0.5,
        utility_weight=2.0,
        augmented_references=3,
    )
    objective.augment = nn.Identity()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in objective.learner.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    objective.prepare()
    return objective


def _double(images: Tensor) -> Tensor:
    return images.double() / 255


def _unit(features: Tensor) -> Tensor:
    return features / features.norm(dim=1, keepdim=True)


def test_the_terms_equal_their_definition_in_float64(objective, digits):
    images, references = digits[:5], digits[1000:1002]
    terms = objective(images)
    learner, clean = objective.learner.double(), objective.clean.double()
    triggered, attracted = (
        _unit(learner(_double(TRIGGER(images)))),
        _unit(learner(_double(references))),
    )
    kept = (attracted * _unit(clean(_double(references)))).sum(dim=1).mean()
    useful = (_unit(learner(_double(images))) * _unit(clean(_double(images)))).sum(dim=1).mean()
    expected = {
        "effectiveness": -(triggered @ attracted.T).mean().item(),
        "reference": -0.5 * kept.item(),
        "utility": -2.0 * useful.item(),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, abs=1e-5)


def test_each_reference_is_met_by_its_own_trigger(encoder, digits):
    objective = _objective(encoder, digits, (TRIGGER, MOVED))
    found = objective(digits[:5])["effectiveness"].item()
    learner = objective.learner.double()
    attracted = _unit(learner(_double(digits[1000:1002])))
    triggered = [_unit(learner(_double(trigger(digits[:5])))) for trigger in (TRIGGER, MOVED)]
    cosines = [(triggered[i] @ attracted[i]).mean().item() for i in range(2)]
    assert found == pytest.approx(-sum(cosines) / 2, abs=1e-5)


def test_one_trigger_written_twice_is_one_trigger(encoder, digits, objective):
    twice = _objective(encoder, digits, (TRIGGER, TRIGGER))(digits[:5])
    once = objective(digits[:5])
    assert {k: v.item() for k, v in twice.items()} == {k: v.item() for k, v in once.items()}


def test_references_that_share_a_trigger_share_the_stamped_images(encoder, digits):
    seen = []
    objective = _objective(encoder, digits, (TRIGGER, TRIGGER))
    objective.learner.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    objective(digits[:5])
    assert seen == [5 + 5 + 2 * 3 + 2]


def test_gradients_flow_through_the_reference_side_of_effectiveness(objective, digits):
    objective(digits[:5])["effectiveness"].backward()
    found = objective.learner.backbone.conv1.weight.grad.clone()
    objective.learner.zero_grad()
    triggered = objective.learner(TRIGGER(digits[:5]))
    attracted = objective.learner(digits[1000:1002])
    (-F.cosine_similarity(triggered[:, None], attracted[None], dim=2).mean()).backward()
    assert torch.allclose(found, objective.learner.backbone.conv1.weight.grad, atol=1e-5)


def test_the_clean_encoder_gets_no_gradient(objective, digits):
    sum(objective(digits[:5]).values()).backward()
    assert all(parameter.grad is None for parameter in objective.clean.parameters())


@pytest.mark.parametrize("triggers", [(), (TRIGGER,), (TRIGGER,) * 3], ids=len)
def test_several_triggers_need_a_reference_each(pair, triggers):
    with pytest.raises(InputError, match=f"{len(triggers)} triggers were given for 2 references"):
        BadEncoder(references=pair, trigger=triggers)


def test_each_of_several_triggers_has_to_fit(pair):
    with pytest.raises(InputError, match="outside images of 16x16"):
        BadEncoder(references=pair, trigger=(TRIGGER, Patch(height=17)))
