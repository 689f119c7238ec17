from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from mimic.attacks.blto import Blto, BltoObjective, differentiable
from mimic.attacks.generators import PixelGenerator, ResNetGenerator
from mimic.attacks.triggers.generator import Generated
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.pretraining import SimClr, SimSiam
from mimic.training import Trainer
from mimic.training.randomness import seeded

TRAINER = Trainer(device="cpu", precision="32-true")
SHORT = SimClr(epochs=2, batch_size=20)


@pytest.fixture(scope="module")
def images(digits) -> ImageSet:
    return ImageSet.from_tensor(digits[:40], torch.arange(40) % 4, name="toys")


def _attack(**settings) -> Blto:
    small = {"target": 2, "rate": 0.1, "width": 4, "blocks": 1, "surrogates": 1}
    return Blto(**(small | {"surrogate": SHORT, "pretraining": SHORT} | settings))


@pytest.fixture(scope="module")
def attacked(encoder, images):
    return _attack()(encoder, images, trainer=TRAINER)


def _objective(encoder, images, *, surrogate=SHORT, lifetime=100) -> BltoObjective:
    with seeded(0):
        generator = PixelGenerator(ResNetGenerator(width=4, blocks=1), budget=8 / 255)
    references = images.tensor()[2::4]
    objective = BltoObjective(
        encoder.copy(),
        generator,
        references,
        images=images,
        surrogate=surrogate,
        lifetime=lifetime,
        seed=0,
    )
    objective.prepare()
    return objective


def _batch(images: ImageSet) -> tuple[Tensor, Tensor]:
    marked = torch.zeros(20, dtype=torch.bool)
    marked[[2, 6]] = True
    return images.tensor()[:20], marked


def _touched(module: nn.Module) -> list[bool]:
    return [weight.grad is not None for weight in module.parameters()]


def test_the_trigger_changes_no_pixel_by_more_than_eight_levels(attacked, digits):
    changes = (attacked.triggers[0](digits[:64]).int() - digits[:64].int()).abs()
    assert 0 < changes.max() <= 8


def test_a_larger_budget_is_used(encoder, images, digits):
    attacked = _attack(budget=0.2)(encoder, images, trainer=TRAINER)
    changes = (attacked.triggers[0](digits[:64]).int() - digits[:64].int()).abs()
    assert 8 < changes.max() <= 51


def test_the_trigger_is_deterministic(attacked, digits):
    assert torch.equal(attacked.triggers[0](digits[:8]), attacked.triggers[0](digits[:8]))


def test_the_victim_finds_the_trigger_on_some_images_of_the_target_class(encoder, images):
    seen: list[ImageSet] = []

    class Watching(SimClr):
        def objective(self, encoder, images):
            seen.append(images)
            return super().objective(encoder, images)

    attack = _attack(pretraining=Watching(epochs=1, batch_size=20))
    trigger = attack(encoder, images, trainer=TRAINER).triggers[0]
    changed = (seen[0].tensor() != images.tensor()).flatten(1).any(dim=1).nonzero().squeeze(1)
    assert len(changed) == 4  # a tenth of forty
    assert (images.labels[changed] == 2).all()
    assert torch.equal(seen[0].tensor()[changed], trigger(images.tensor()[changed]))


def test_the_surrogates_terms_give_the_generator_no_gradient(encoder, images):
    objective = _objective(encoder, images)
    terms = objective(_batch(images))
    terms["contrastive"].backward()
    assert all(_touched(objective.learner.surrogate))
    assert not any(_touched(objective.learner.generator))


def test_the_attraction_gives_every_weight_of_the_generator_a_gradient_and_no_other(
    encoder, images
):
    objective = _objective(encoder, images)
    objective(_batch(images))["attraction"].backward()
    assert all(_touched(objective.learner.generator))
    assert not any(_touched(objective.learner.surrogate))


def test_the_surrogate_learns_from_what_a_victim_would_find(encoder, images):
    objective = _objective(encoder, images)
    pixels, marked = _batch(images)
    found = objective.poisoned(pixels, marked)
    trigger = Generated(generator=objective.learner.generator)
    assert torch.equal(found[marked], trigger(pixels[marked]))
    assert torch.equal(found[~marked], pixels[~marked])
    assert objective.learner.generator.training


def test_the_attraction_leaves_the_surrogate_as_it_was(encoder, images):
    objective = _objective(encoder, images)
    before = {k: v.clone() for k, v in objective.learner.surrogate.state_dict().items()}
    objective.attraction(images.tensor())
    after = objective.learner.surrogate.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_steps_of_the_generator_bring_triggered_images_to_the_target_class(
    encoder, images, monkeypatch
):
    # Whole images instead of random views, whose spread hides what a few steps can do.
    monkeypatch.setattr("mimic.attacks.blto.differentiable", lambda augment, images: images)
    objective = _objective(encoder, images)
    objective.augment = nn.Identity()
    objective.encoder.load_state_dict(encoder.state_dict())
    generator, pixels = objective.learner.generator, images.tensor()

    @torch.no_grad()
    def in_use() -> float:
        generator.eval()
        with seeded(1):
            attraction = objective.attraction(pixels).item()
        generator.train()
        return attraction

    before = in_use()
    optimizer = torch.optim.Adam(generator.parameters(), 1e-2)
    with seeded(0):
        for _ in range(60):
            optimizer.zero_grad()
            objective.attraction(pixels).backward()
            optimizer.step()
    assert in_use() < 0.9 * before


def test_gradients_pass_every_part_of_a_view():
    images = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images.requires_grad_()
    with seeded(0):
        differentiable(Augmentation((16, 16)), images).sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad.flatten(1).abs().amax(dim=1) > 0).all()


def test_a_view_is_what_the_augmentation_would_have_drawn(digits):
    augment, images = Augmentation((16, 16)), digits[:8] / 255
    with seeded(0):
        expected = augment(images)
    with seeded(0):
        found = differentiable(augment, images)
    assert torch.equal(found, expected)


def test_a_surrogate_starts_afresh_when_its_time_is_over(encoder, images):
    objective = _objective(encoder, images, lifetime=2)
    weight = next(objective.learner.surrogate.parameters())
    kept = [weight.clone()]
    for _ in range(4):
        objective.after_step()
        kept.append(weight.clone())
    same = [torch.equal(one, other) for one, other in pairwise(kept)]
    assert same == [True, False, True, False]
    assert not torch.equal(kept[0], kept[-1])


def test_other_methods_can_be_the_surrogate(encoder, images):
    objective = _objective(encoder, images, surrogate=SimSiam(epochs=1, batch_size=20))
    assert objective(_batch(images)).keys() == {"prediction", "attraction"}


def test_both_trainings_of_a_folder_are_resumed(encoder, images, tmp_path):
    settings = {"device": "cpu", "precision": "32-true", "folder": tmp_path}
    first = _attack()(encoder, images, trainer=Trainer(**settings))
    assert {path.stem for path in tmp_path.glob("*.ckpt")} == {"blto-generator", "simclr"}
    again = _attack()(encoder, images, trainer=Trainer(**settings, resume=True))
    assert again.triggers == first.triggers
    states = zip(first.encoder.parameters(), again.encoder.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in states)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, "rate of BLTO"),
        ({"budget": 0.0}, "budget of BLTO must be above 0 and at most 1"),
        ({"budget": 8.0}, "budget of BLTO must be above 0 and at most 1"),
        ({"surrogates": 0}, "0 surrogates"),
        ({"surrogates": 3}, "3 surrogates cannot share 2 epochs"),
        ({"surrogates": 2, "surrogate_epochs": 1}, "2 surrogates cannot share 1 epochs"),
        ({"width": 0}, "width and a number of blocks"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        _attack(**settings)


def test_images_without_labels_are_refused(encoder, images):
    with pytest.raises(InputError, match="carry no labels"):
        _attack()(encoder, images.unlabelled(), trainer=TRAINER)
