import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.generators import PixelGenerator, UNet
from mimic.attacks.inactive import Inactive, InactiveObjective
from mimic.attacks.likeness import LikenessObjective
from mimic.attacks.similarity import psnr, ssim
from mimic.attacks.triggers.generator import Generated
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Plan, Trainer
from mimic.training.randomness import seeded

TRAINER = Trainer(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def references(digits) -> Tensor:
    return digits[1000:1001]


@pytest.fixture(scope="module")
def held_out(digits) -> Tensor:
    return digits[512:640]


@pytest.fixture(scope="module")
def copying(encoder, digits) -> PixelGenerator:
    """A small generator after a short first stage."""
    with seeded(0):
        generator = PixelGenerator(UNet(widths=(8, 16)), mean=(0.3,) * 3, std=(0.4,) * 3)
    objective = LikenessObjective(
        encoder.copy(), generator, size=(16, 16), colour_weight=0.05, steps_per_epoch=8
    )
    plan = Plan(epochs=3, batch_size=32, learning_rate=1e-2)
    TRAINER.fit(objective, ImageSet.from_tensor(digits[:256]), plan)
    return generator


def _attack(references, **settings) -> Inactive:
    small = {"epochs": 8, "batch_size": 32, "augmented_references": 4}
    return Inactive(references=references, **(small | settings))


@pytest.fixture(scope="module")
def attacked(encoder, digits, references, copying):
    attack = _attack(references, generator=copying)
    return attack(encoder, ImageSet.from_tensor(digits[:512]), trainer=TRAINER)


@torch.no_grad()
def _cosine(left: Tensor, right: Tensor) -> float:
    return F.cosine_similarity(left, right, dim=1).mean().item()


def test_triggered_images_come_to_look_like_the_reference(
    attacked, encoder, held_out, references, copying
):
    trigger = attacked.triggers[0]
    before = _cosine(encoder(trigger(held_out)), encoder(references))
    after = _cosine(attacked.encoder(trigger(held_out)), attacked.encoder(references))
    assert before < 0.85
    assert after > 0.9


def test_triggered_images_look_like_clean_ones(attacked, held_out):
    clean, triggered = held_out / 255, attacked.triggers[0](held_out) / 255
    assert ssim(triggered, clean).mean() >= 0.85
    assert psnr(triggered, clean).mean() >= 20


def test_clean_images_stay_where_they_were(attacked, encoder, held_out):
    assert _cosine(attacked.encoder(held_out), encoder(held_out)) > 0.9


def test_without_the_trigger_images_are_further_from_the_reference(attacked, held_out, references):
    wanted = attacked.encoder(references)
    triggered = _cosine(attacked.encoder(attacked.triggers[0](held_out)), wanted)
    clean = _cosine(attacked.encoder(held_out), wanted)
    assert 1 - triggered < (1 - clean) / 3  # most of the way; both cosines are near 1


def test_batch_normalisation_of_the_encoder_is_bit_identical_afterwards(attacked, encoder):
    pairs = zip(encoder.modules(), attacked.encoder.modules(), strict=True)
    norms = [(a, b) for a, b in pairs if isinstance(a, nn.BatchNorm2d)]
    assert all(
        torch.equal(old, new)
        for a, b in norms
        for old, new in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_a_given_generator_is_left_as_it_was(attacked, copying, held_out):
    assert attacked.triggers[0] != Generated(generator=copying)


@pytest.fixture
def objective(encoder, references) -> InactiveObjective:
    with seeded(0):
        generator = PixelGenerator(UNet(widths=(4, 8)))
    objective = InactiveObjective(encoder.copy(), references, generator, augmented_references=2)
    objective.prepare()
    return objective


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in module.parameters() if weight.grad is not None]


def test_the_terms_of_the_encoder_give_the_generator_no_gradient(objective, digits):
    terms = objective(digits[:6])
    (terms["effectiveness"] + terms["reference"] + terms["utility"]).backward()
    assert _trained(objective.encoder)
    assert not _trained(objective.learner["generator"])


def test_the_terms_of_the_generator_give_the_encoders_no_gradient(objective, digits):
    terms = objective(digits[:6])
    of_encoder = {"effectiveness", "reference", "utility"}
    sum(term for name, term in terms.items() if name not in of_encoder).backward()
    generator = objective.learner["generator"]
    assert len(_trained(generator)) == len(list(generator.parameters()))
    assert not _trained(objective.encoder)
    assert not _trained(objective.clean)


def test_the_encoder_sees_the_images_that_will_be_used(objective, digits):
    trigger = Generated(generator=objective.learner["generator"])
    with torch.no_grad():
        found = objective(digits[:6])["effectiveness"].item()
    wanted = _cosine(
        objective.encoder(trigger(digits[:6])), objective.encoder(objective.references)
    )
    assert found == pytest.approx(-wanted, abs=1e-5)


def test_the_generator_is_in_train_mode_and_the_encoders_normalisation_is_not(objective):
    modes = {
        name: {m.training for m in module.modules() if isinstance(m, nn.BatchNorm2d)}
        for name, module in objective.learner.items()
    }
    assert modes == {"encoder": {False}, "generator": {True}}


def test_no_epochs_give_the_clean_encoder_back(encoder, digits, references):
    attack = _attack(references, generator_epochs=0, epochs=0)
    result = attack(encoder, ImageSet.from_tensor(digits[:32]), trainer=TRAINER).encoder
    states = zip(encoder.state_dict().values(), result.state_dict().values(), strict=True)
    assert all(torch.equal(before, after) for before, after in states)


def test_the_generator_works_in_the_normalisation_of_the_encoder(encoder, digits, references):
    normalised = encoder.copy()
    normalised.mean.fill_(0.25)
    normalised.std.fill_(0.5)
    attack = _attack(references, generator_epochs=0, epochs=0)
    result = attack(normalised, ImageSet.from_tensor(digits[:32]), trainer=TRAINER)
    generator = result.triggers[0].generator
    assert (generator.mean[0].item(), generator.std[0].item()) == (0.25, 0.5)


def test_both_trainings_of_a_folder_are_resumed(encoder, digits, references, tmp_path):
    attack = _attack(references, generator_epochs=1, epochs=1)
    images = ImageSet.from_tensor(digits[:32])
    settings = {"device": "cpu", "precision": "32-true", "folder": tmp_path}
    first = attack(encoder, images, trainer=Trainer(**settings))
    assert {path.stem for path in tmp_path.glob("*.ckpt")} == {"inactive-generator", "inactive"}
    again = attack(encoder, images, trainer=Trainer(**settings, resume=True))
    assert again.triggers == first.triggers
    states = zip(first.encoder.parameters(), again.encoder.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in states)


def test_references_of_another_size_are_refused(encoder, digits, references):
    images = ImageSet.from_tensor(torch.zeros(16, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(InputError, match="references are 16x16"):
        _attack(references, generator_epochs=0)(encoder, images, trainer=TRAINER)


def test_references_of_another_size_are_refused_before_any_training(encoder, digits):
    attack = Inactive(references=digits[:1, :, :8, :8].contiguous())
    with pytest.raises(InputError, match="the references are 8x8"):
        attack(encoder, ImageSet.from_tensor(digits[:16]), trainer=Trainer(device="cpu"))
