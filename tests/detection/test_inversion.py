"""A planted door is found; nothing else is touched."""

from dataclasses import dataclass, field
from functools import cache

import pytest
import torch
from torch.nn import functional as F

from mimic.detection.aims import Gather, Towards
from mimic.detection.inversion import (
    InversionObjective,
    InvertedTriggers,
    TriggerSearch,
    invert,
    lay,
)
from mimic.detection.penalty import MaskPenalty
from mimic.encoders.architectures import build_backbone
from mimic.encoders.checks import count_hooks
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.training import Trainer

from .support import DOOR, TRAINER, Constant, noise, planted

RESNET, TOKENS = "resnet10:width=4", "vit_tiny:dim=8,depth=1,heads=1,patch=4"


@dataclass(frozen=True, kw_only=True)
class Recording(Trainer):
    """Notes what each training reads, and how long it is."""

    device: str = "cpu"
    precision: str = "32-true"
    seen: list = field(default_factory=list)

    def fit(self, objective, data, plan, *, name="training"):
        history = super().fit(objective, data, plan, name=name)
        self.seen.append((data, history))
        return history


@cache
def gathered(*, door: bool) -> InvertedTriggers:
    """Two restarts on all images at once."""
    return invert(
        planted(door=door),
        noise(),
        Gather(2),
        steps=200,
        batch_size=24,
        learning_rate=0.2,
        trainer=TRAINER,
    )


def hasty(encoder: Encoder, images=None, aim=None, **settings) -> InvertedTriggers:
    settings = {"steps": 2, "batch_size": 8, "trainer": TRAINER} | settings
    return invert(encoder, images or noise(), aim or Gather(2), **settings)


def state(encoder: Encoder) -> dict[str, torch.Tensor]:
    tensors = [*encoder.named_parameters(), *encoder.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in tensors}


def test_the_mask_of_a_planted_door_is_small():
    found = gathered(door=True)
    assert found.success.any()
    assert found.shares[found.smallest()] < 0.05


def test_the_mask_of_a_planted_door_covers_it():
    found = gathered(door=True)
    mask = found.masks[found.smallest(), 0]
    assert mask[DOOR].sum() > 0.8 * mask.sum()


def test_without_a_door_masks_are_large():
    assert gathered(door=False).shares.min() > 0.1


def test_the_similarity_is_that_of_the_images_with_the_trigger_on():
    found = gathered(door=True)
    index = found.smallest()
    features = extract_features(
        planted(), noise(), trigger=found.stamp(index), trainer=TRAINER
    ).double()
    cosines = (features @ features.T)[~torch.eye(24, dtype=torch.bool)]
    assert found.similarity[index].item() == pytest.approx(cosines.mean().item(), abs=2e-3)


def test_success_means_that_the_threshold_was_passed():
    found = gathered(door=True)
    assert torch.equal(found.success, found.similarity > 0.99)


def test_the_planted_centre_is_the_easiest_to_reach():
    directions = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    centres = torch.cat([directions[:2], torch.tensor([[1.0, -1.0] * 4]), directions[2:]])
    aim = Towards(centres, range(5))
    found = hasty(planted(), aim=aim, steps=200, batch_size=24, learning_rate=0.2)
    assert found.smallest() == 2


def test_a_constant_encoder_has_success_at_once_and_needs_no_mask():
    encoder = Encoder(Constant())
    assert hasty(encoder, steps=1).success.all()
    assert hasty(encoder, steps=60, learning_rate=0.5).shares.max() < 0.01


@pytest.mark.parametrize(
    ("architecture", "size"), [(RESNET, (8, 8)), (RESNET, (20, 28)), (TOKENS, (8, 16))]
)
def test_any_network_is_inverted_at_any_size(architecture, size):
    found = hasty(Encoder(build_backbone(architecture)), noise(9, size))
    assert found.masks.shape == (2, 1, *size)
    assert found.patterns.shape == (2, 3, *size)
    assert found.masks.isfinite().all()


@pytest.mark.parametrize("architecture", [RESNET, TOKENS])
def test_the_encoder_is_left_as_it_was(architecture):
    encoder = Encoder(build_backbone(architecture)).train()
    before = state(encoder)
    hasty(encoder, noise(9, (8, 8)))
    after = state(encoder)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(module.training for module in encoder.modules())
    assert all(p.requires_grad and p.grad is None for p in encoder.parameters())
    assert count_hooks(encoder) == 0


def test_random_states_are_as_they_were():
    before = torch.get_rng_state()
    hasty(planted())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides_the_triggers():
    first, again, other = (hasty(planted(), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.masks, again.masks)
    assert torch.equal(first.patterns, again.patterns)
    assert not torch.equal(first.masks, other.masks)


def test_restarts_differ():
    found = hasty(planted())
    assert not torch.equal(found.masks[0], found.masks[1])


def test_a_finished_inversion_is_not_repeated(tmp_path):
    keeping = Recording(folder=tmp_path, resume=True)
    first, again = (hasty(planted(), trainer=keeping) for _ in range(2))
    assert torch.equal(first.masks, again.masks)
    assert torch.equal(first.similarity, again.similarity)
    assert keeping.seen[1][1].seconds == keeping.seen[0][1].seconds


def test_masks_and_patterns_start_evenly_between_zero_and_one():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = TriggerSearch(8, (32, 32), 1.0).values()
    for part in values:
        assert part.mean().item() == pytest.approx(0.5, abs=0.01)
        assert part.var().item() == pytest.approx(1 / 12, abs=0.003)


def test_the_smallest_mask_with_success_is_kept():
    search = TriggerSearch(1, (4, 4), 1.0)
    generator = torch.Generator().manual_seed(0)
    successes, sizes = [], []
    for step in range(30):
        mask = torch.rand(1, 1, 4, 4, generator=generator)
        success = torch.rand((), generator=generator) < 0.5
        search.keep_best(mask, torch.rand(1, 3, 4, 4), torch.rand(1), success[None])
        successes += [mask.sum()] if success else []
        if successes:
            sizes.append(search.found().norms.item())
            assert sizes[-1] == pytest.approx(min(successes).item()), step
    assert sizes == sorted(sizes, reverse=True)


def test_a_search_without_success_has_no_size():
    search = TriggerSearch(2, (4, 4), 1.0)
    masks = torch.full((2, 1, 4, 4), 0.25)
    success = torch.tensor([True, False])
    search.keep_best(masks, masks.expand(-1, 3, -1, -1), torch.ones(2), success)
    assert search.sizes().tolist() == [0.25, float("inf")]


def test_without_success_the_most_similar_trigger_is_kept():
    search = TriggerSearch(1, (4, 4), 1.0)
    for similarity in (0.2, 0.6, 0.4):
        value = torch.full((1, 1, 4, 4), similarity)
        search.keep_best(value, value, torch.tensor([similarity]), torch.tensor([False]))
    found = search.found()
    assert not found.success.any()
    assert found.masks.unique().tolist() == found.similarity.tolist()
    assert found.similarity.item() == pytest.approx(0.6)


def test_the_first_success_counts_more_than_any_similarity():
    search = TriggerSearch(1, (4, 4), 1.0)
    small, large = torch.full((1, 1, 4, 4), 0.1), torch.full((1, 1, 4, 4), 0.9)
    search.keep_best(small, small, torch.tensor([0.9]), torch.tensor([False]))
    search.keep_best(large, large, torch.tensor([0.3]), torch.tensor([True]))
    assert search.found().shares.item() == pytest.approx(0.9)


def triggers(sizes: list[float], success: list[bool]) -> InvertedTriggers:
    """Flat masks; the similarity rises from trigger to trigger."""
    masks = torch.tensor(sizes)[:, None, None, None].expand(-1, 1, 4, 6)
    return InvertedTriggers(
        masks=masks,
        patterns=torch.full((len(sizes), 3, 4, 6), 0.25),
        similarity=torch.linspace(0, 1, len(sizes)),
        success=torch.tensor(success),
    )


def test_norms_are_in_pixels_and_shares_of_the_image():
    found = triggers([0.5, 0.25], [True, True])
    assert found.norms.tolist() == [12, 6]
    assert found.shares.tolist() == [0.5, 0.25]


def test_the_smallest_trigger_is_one_with_success():
    assert triggers([0.1, 0.5, 0.3], [False, True, True]).smallest() == 2
    assert triggers([0.1, 0.5, 0.3], [False, False, False]).smallest() == 2
    assert triggers([0.1, 0.5, 0.3], [True, False, False]).smallest() == 0


def test_a_stamp_lays_its_trigger_on_bytes_and_on_floats():
    stamp = triggers([0.5, 1.0], [True, True]).stamp(0)
    images = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(2, 3, 4, 6)
    floats = stamp(images / 255)
    torch.testing.assert_close(floats[:, 0, 0, 0], torch.tensor([0.125, 0.625]))
    assert torch.equal(stamp(images), (floats * 255).round().to(torch.uint8))


def test_the_terms_are_those_of_the_formula():
    images, encoder = noise(5), planted()
    objective = InversionObjective(
        encoder, Gather(3), (16, 16), penalty=MaskPenalty(start=2.0), threshold=0.99
    )
    masks, patterns = (part.detach().double() for part in objective.learner.values())
    pixels = images.tensor() / 255
    expected = 0.0
    for mask, pattern in zip(masks, patterns, strict=True):
        stamped = (1 - mask) * pixels.double() + mask * pattern
        features = F.normalize(encoder(stamped.float()), dim=1).double()
        expected -= (features @ features.T)[~torch.eye(5, dtype=torch.bool)].mean().item()
    terms = objective(images.tensor()[None])
    assert terms["similarity"].item() == pytest.approx(expected, abs=1e-5)
    assert terms["mask"].item() == pytest.approx(2 * masks.mean((1, 2, 3)).sum().item(), rel=1e-5)


def test_laying_a_mask_of_zero_changes_nothing():
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(lay(images, torch.zeros(1, 4, 4), torch.rand(3, 4, 4)), images)


def test_each_trigger_is_laid_on_its_own_images():
    images, trainer = noise(), Recording()
    sources = [torch.tensor([1, 2, 3]), torch.arange(10, 20)]
    hasty(planted(), images, sources=sources, trainer=trainer)
    data = trainer.seen[0][0]
    shown = data.batch(torch.arange(len(data)))
    for own, source in zip(shown, sources, strict=True):
        expected = {tuple(image.flatten().tolist()) for image in images.batch(source)}
        assert {tuple(image.flatten().tolist()) for image in own} == expected


def test_all_triggers_share_the_images_where_none_are_named():
    trainer = Recording()
    hasty(planted(), trainer=trainer)
    assert trainer.seen[0][0].batch(torch.arange(4)).shape == (1, 4, 3, 16, 16)


@pytest.mark.parametrize(("asked", "done"), [(1, 1), (3, 3), (4, 6)])
def test_steps_are_rounded_up_to_whole_passes(asked, done):
    trainer = Recording()
    hasty(planted(), steps=asked, trainer=trainer)
    assert trainer.seen[0][1].steps == done


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "1 step or more"),
        ({"threshold": 0.0}, "threshold of success"),
        ({"threshold": 1.0}, "threshold of success"),
        ({"sources": [torch.arange(3), torch.arange(0)]}, "needs images"),
        ({"sources": [torch.arange(3)] * 3}, "needs images"),
        ({"batch_size": 0}, "batch size must be 1 or more"),
        ({"batch_size": 1}, "takes two of them"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        hasty(planted(), **settings)
