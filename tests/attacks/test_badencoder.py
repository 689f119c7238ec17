import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.badencoder import BadEncoder, BadEncoderObjective, ReferenceAugmentation
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


def test_a_checkpoint_of_another_trigger_is_not_resumed(encoder, digits, references, tmp_path):
    _start_and_resume(encoder, digits, tmp_path, (references, TRIGGER), (references, MOVED))


def test_a_checkpoint_of_other_references_is_not_resumed(encoder, digits, references, tmp_path):
    _start_and_resume(encoder, digits, tmp_path, (references, TRIGGER), (digits[1:2], TRIGGER))


def _start_and_resume(encoder, digits, folder, first, second):
    images = ImageSet.from_tensor(digits[:16])
    start = BadEncoder(references=first[0], trigger=first[1], epochs=1)
    start(encoder, images, trainer=Trainer(device="cpu", folder=folder))
    again = BadEncoder(references=second[0], trigger=second[1], epochs=1)
    with pytest.raises(InputError, match="other settings"):
        again(encoder, images, trainer=Trainer(device="cpu", folder=folder, resume=True))


@pytest.fixture
def objective(encoder, digits):
    """Two references, no augmentation, a learner that differs from the clean encoder."""
    objective = BadEncoderObjective(
        encoder.copy(),
        digits[1000:1002],
        TRIGGER,
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


def test_batch_normalisation_is_frozen_for_training(objective):
    frozen = [m for m in objective.learner.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m.training or m.weight.requires_grad or m.bias.requires_grad for m in frozen)


def test_everything_else_is_in_train_mode(objective):
    assert objective.learner.backbone.conv1.training
    assert objective.learner.backbone.conv1.weight.requires_grad


def test_other_dimensions_of_batch_normalisation_are_frozen_too(digits):
    from mimic.encoders.encoder import Encoder

    backbone = nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.BatchNorm1d(4))
    objective = BadEncoderObjective(Encoder(backbone), digits[:1], TRIGGER)
    objective.prepare()
    assert not objective.learner.backbone[2].training


def test_views_of_a_reference_differ(digits):
    views = ReferenceAugmentation()(digits[:1].expand(8, -1, -1, -1) / 255)
    assert len({tuple(view.flatten().tolist()) for view in views}) > 1


def test_views_of_a_reference_show_all_of_it():
    # A crop would lose the border or the centre for some views.
    image = torch.full((64, 3, 16, 16), 0.1)
    image[:, :, 0], image[:, :, 7:9, 7:9] = 0.9, 0.9
    views = ReferenceAugmentation()(image).mean(dim=1)
    assert ((views[:, 0, 0] > views[:, 4, 4]) & (views[:, 7, 7] > views[:, 4, 4])).all()


def test_views_stay_in_the_unit_range(digits):
    views = ReferenceAugmentation()(digits[:64] / 255)
    assert 0 <= views.min() <= views.max() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"references": torch.zeros(1, 3, 16, 16)}, "references must be uint8"),
        ({"references": torch.zeros(0, 3, 16, 16, dtype=torch.uint8)}, r"of \(0, 3, 16, 16\)"),
        ({"trigger": Patch(height=17)}, "outside images of 16x16"),
        ({"augmented_references": 0}, "augmented_references"),
        ({"utility_weight": -1.0}, "weights"),
    ],
    ids=["floats", "none", "large trigger", "no view", "negative weight"],
)
def test_settings_that_cannot_work_are_refused(references, settings, message):
    with pytest.raises(InputError, match=message):
        BadEncoder(**({"references": references, "trigger": TRIGGER} | settings))


def test_references_of_another_size_than_the_images_are_refused(encoder, references):
    attack = BadEncoder(references=references, trigger=TRIGGER)
    images = ImageSet.from_tensor(torch.zeros(16, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(
        InputError, match="references are 16x16, but the images of 'images' are 32x32"
    ):
        attack(encoder, images, trainer=Trainer(device="cpu"))
