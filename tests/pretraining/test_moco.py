import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.pretraining.moco import KeyQueue, MoCo, MocoObjective, info_nce

from .support import CPU, given, state


def unit(count: int, dimension: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dimension, generator=generator), dim=1)


def objective(digits, **settings) -> MocoObjective:
    return MocoObjective(given(), digits.size, **{"queue": 64} | settings)


def test_the_loss_is_the_cross_entropy_of_finding_the_own_key():
    queries, keys, queue = 3 * unit(4, seed=1), unit(4, seed=2), unit(9, seed=3)
    rows, columns = F.normalize(queries, dim=1).double(), torch.cat([keys, queue]).double()
    expected = 0.0
    for index, row in enumerate(rows):
        scores = [math.exp(float(row @ column) / 0.2) for column in columns]
        expected -= math.log(scores[index] / sum(scores)) / len(rows)
    assert info_nce(queries, keys, queue, 0.2).item() == pytest.approx(expected, rel=1e-6)


def test_equal_similarities_give_the_logarithm_of_the_number_of_keys():
    same = torch.ones(1, 6)
    loss = info_nce(same.expand(4, 6), unit(1).expand(4, 6), unit(1).expand(9, 6), 0.2)
    assert loss.item() == pytest.approx(math.log(13), rel=1e-6)


def test_the_loss_is_not_rounded_under_autocast():
    queries, keys, queue = unit(4, seed=1), unit(4, seed=2), unit(9, seed=3)
    exact = info_nce(queries, keys, queue, 0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(info_nce(queries, keys, queue, 0.2), exact)


def test_a_queue_starts_with_random_directions():
    keys = KeyQueue(50, 8).keys
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(50))
    assert abs(keys.mean()) < 0.1


def test_new_keys_take_the_place_of_the_oldest():
    queue, first, second = KeyQueue(5, 6), unit(3, seed=1), unit(3, seed=2)
    queue.put(first)
    queue.put(second)
    assert torch.equal(queue.keys, torch.cat([second[2:], first[1:], second[:2]]))


def test_a_queue_holds_the_last_keys_after_many_rounds():
    queue, batches = KeyQueue(8, 6), [unit(3, seed=seed) for seed in range(20)]
    for batch in batches:
        queue.put(batch)
    oldest_first = queue.keys.roll(-int(queue.pointer), 0)
    assert torch.equal(oldest_first, torch.cat(batches)[-8:])


def test_the_term_contrasts_the_encoder_with_the_key_network(digits):
    moco = objective(digits, temperature=0.3).eval()
    moco.augment = torch.nn.Identity()
    images = digits.tensor()[:8] / 255
    queries = moco.learner["head"](moco.encoder(images))
    keys = F.normalize(moco.key_network(images), dim=1)
    expected = info_nce(queries, keys, moco.queue.keys, 0.3)
    torch.testing.assert_close(moco(images)["contrastive"], expected)


def test_a_step_ends_with_its_keys_in_the_queue(digits):
    moco = objective(digits).eval()
    moco.augment = torch.nn.Identity()
    images = digits.tensor()[:8] / 255
    expected = F.normalize(moco.key_network(images), dim=1)
    moco(images)
    moco.after_step()
    torch.testing.assert_close(moco.queue.keys[:8], expected)
    assert int(moco.queue.pointer) == 8


def test_the_key_network_follows_the_encoder(digits):
    moco = objective(digits, momentum=0.75)
    theirs, own = (
        moco.encoder.backbone.conv1.weight,
        moco.key_network.chain[0].backbone.conv1.weight,
    )
    before = own.clone()
    with torch.no_grad():
        theirs.add_(1)
    moco.after_step()
    torch.testing.assert_close(own, before + 0.25)


def test_a_step_in_parts_puts_the_keys_of_all_parts_into_the_queue(digits):
    moco = objective(digits)
    trainer = replace(CPU, accumulate=3)
    trainer.fit(moco, digits.sample(count=40), MoCo(epochs=1, batch_size=20).plan())
    assert int(moco.queue.pointer) == 40


def test_a_step_that_is_repeated_leaves_no_keys_behind(digits):
    moco = objective(digits)
    moco(digits.tensor()[:8])
    moco.prepare()
    moco.after_step()
    assert int(moco.queue.pointer) == 0


def test_no_gradient_reaches_the_key_network(digits):
    moco = objective(digits)
    moco.prepare()
    moco(digits.tensor())["contrastive"].backward()
    assert all(parameter.grad is None for parameter in moco.key_network.parameters())
    assert all(parameter.grad is not None for parameter in moco.encoder.parameters())


def test_the_key_network_runs_in_train_mode(digits):
    moco = objective(digits)
    CPU.fit(moco, digits, MoCo(epochs=1, batch_size=32).plan())
    name = "chain.0.backbone.bn1.running_mean"
    assert state(moco.key_network)[name].abs().sum() > 0


def test_a_queue_is_never_longer_than_there_are_images(digits):
    long, short = MoCo(batch_size=8), MoCo(batch_size=8, queue=16)
    lengths = [len(method.objective(given(), digits).queue.keys) for method in (long, short)]
    assert lengths == [64, 16]


def test_the_constants_are_those_of_the_paper():
    method = MoCo()
    plan = method.plan()
    assert (method.momentum, method.temperature) == (0.999, 0.2)
    assert (plan.optimizer, plan.learning_rate, plan.momentum) == ("sgd", 0.06, 0.9)
    assert (plan.weight_decay, plan.schedule) == (1e-4, "cosine")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"queue": 100}, "at least one batch, 256 keys, not 100"),
        ({"momentum": 1.5}, "momentum"),
        ({"temperature": 0.0}, "temperature must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        MoCo(**settings)
