"""Utility kept: linear encoders, whose features are known, and pictures of noise."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.training import Trainer
from mimic.verification.metrics import effective_rank, linear_cka, mutual_neighbours
from mimic.verification.utility import Utility, measure_utility

CPU = Trainer(device="cpu", precision="32-true")
SIDE, LENGTH = 6, 5


class Linear(nn.Module):
    """A linear map of the pixels, which remembers what it saw."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return (images - 0.5).flatten(1) @ self.matrix


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def encoder(
    *, seed: int = 0, side: int = SIDE, length: int = LENGTH, image_size: int | None = None
) -> Encoder:
    return Encoder(Linear(normal(3 * side**2, length, seed=seed)), image_size=image_size).eval()


def changed(subject: Encoder, matrix: Tensor) -> Encoder:
    """The encoder followed by a linear map."""
    return Encoder(Linear(subject.backbone.matrix.detach() @ matrix)).eval()


def pictures(count: int, *, side: int = SIDE) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def images(count: int = 60, *, side: int = SIDE) -> ImageSet:
    return ImageSet.from_tensor(pictures(count, side=side), name="noise")


def measured(before: Encoder, after: Encoder, *, seed: int = 0, count: int = 60) -> Utility:
    return measure_utility(before, after, images(count), seed=seed, trainer=CPU)


def test_the_same_encoder_keeps_everything():
    found = measured(encoder(), encoder())
    for kept in (found.cka, found.mutual_neighbours, found.effective_rank, found.cosine):
        assert (kept.value, *kept.ci95) == pytest.approx((1, 1, 1), abs=1e-9)
    assert found.effective_rank_after == found.effective_rank_before


def test_a_turned_encoder_keeps_everything_but_the_cosine():
    found = measured(encoder(), changed(encoder(), torch.linalg.qr(normal(5, 5, seed=1)).Q))
    assert found.cka.value == pytest.approx(1, abs=1e-6)
    assert found.mutual_neighbours.value == 1
    assert found.effective_rank.value == pytest.approx(1, abs=1e-5)
    assert found.cosine.value < 0.9


def test_values_are_those_of_features_of_length_1():
    before, after = encoder(), encoder(seed=1)
    with torch.no_grad():
        old, new = (F.normalize(e(pictures(60)).double(), dim=1) for e in (before, after))
    found = measured(before, after)
    assert found.cka.value == pytest.approx(linear_cka(old, new), abs=1e-5)
    assert found.mutual_neighbours.value == mutual_neighbours(old, new, k=1)  # of 60 images
    assert found.effective_rank_before == pytest.approx(effective_rank(old), abs=1e-5)
    assert found.effective_rank_after == pytest.approx(effective_rank(new), abs=1e-5)
    assert found.effective_rank.value == pytest.approx(effective_rank(new) / effective_rank(old))
    assert found.cosine.value == pytest.approx(float((old * new).sum(dim=1).mean()), abs=1e-6)


def test_neighbours_are_one_in_a_hundred_so_that_their_share_does_not_depend_on_the_count():
    before, after = encoder(), encoder(seed=1)
    with torch.no_grad():
        old, new = (F.normalize(e(pictures(250)).double(), dim=1) for e in (before, after))
    found = measured(before, after, count=250)
    assert found.mutual_neighbours.value == mutual_neighbours(old, new, k=2)


def test_every_interval_holds_its_value_and_has_a_width():
    found = measured(encoder(), encoder(seed=1))
    for kept in (found.cka, found.mutual_neighbours, found.effective_rank, found.cosine):
        assert kept.ci95[0] < kept.value < kept.ci95[1]


def test_the_yardstick_is_what_the_old_encoder_makes_of_random_views():
    before, after = encoder(), encoder(seed=1)
    found = measured(before, after)
    seen, viewed = before.backbone.seen
    with torch.no_grad():
        old, other = (F.normalize(before(pixels).double(), dim=1) for pixels in (seen, viewed))
    assert not torch.equal(seen, viewed)
    assert found.cka.yardstick == pytest.approx(linear_cka(old, other), abs=1e-5)
    assert found.mutual_neighbours.yardstick == mutual_neighbours(old, other, k=1)
    assert found.effective_rank.yardstick == pytest.approx(
        effective_rank(other) / effective_rank(old), abs=1e-5
    )
    assert found.cosine.yardstick == pytest.approx(float((old * other).sum(dim=1).mean()), abs=1e-6)


def test_the_new_encoder_sees_the_images_and_nothing_else():
    after = encoder(seed=1)
    measured(encoder(), after)
    (seen,) = after.backbone.seen
    assert torch.equal(seen, pictures(60) / 255)


def test_the_new_encoder_does_not_move_the_yardstick():
    one, other = measured(encoder(), encoder(seed=1)), measured(encoder(), encoder(seed=2))
    assert one.cka.yardstick == other.cka.yardstick


def test_the_seed_decides_views_and_groups():
    one, again, other = (measured(encoder(), encoder(seed=1), seed=s) for s in (3, 3, 4))
    assert replace(again, seconds=one.seconds) == one
    assert other.cka.value == one.cka.value
    assert other.cka.ci95 != one.cka.ci95
    assert other.cka.yardstick != one.cka.yardstick


def test_random_states_are_left_as_they_were():
    state = torch.get_rng_state()
    measured(encoder(), encoder(seed=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_new_encoder_with_longer_features_has_no_cosine():
    found = measured(encoder(), changed(encoder(), torch.eye(5, 9)))
    assert found.cosine is None
    assert found.cka.value == pytest.approx(1, abs=1e-6)


def test_each_encoder_sees_images_of_its_own_size_as_if_they_were_opened_at_it(tmp_path):
    np.savez(tmp_path / "x.npz", x=pictures(60, side=8).permute(0, 2, 3, 1).numpy())
    small, large = encoder(side=4, image_size=4), encoder(side=9, image_size=9)
    measure_utility(small, large, open_images(tmp_path / "x.npz"), trainer=CPU)
    for subject, side in ((small, 4), (large, 9)):
        opened = open_images(tmp_path / "x.npz", size=side).tensor()
        assert torch.equal(subject.backbone.seen[0], opened / 255)
    assert small.backbone.seen[1].shape == (60, 3, 4, 4)


def test_an_encoder_that_expects_no_size_sees_the_images_as_they_are():
    before, after = encoder(image_size=SIDE), encoder()
    measured(before, after)
    assert torch.equal(after.backbone.seen[0], before.backbone.seen[0])


def test_a_new_encoder_that_tells_no_images_apart_keeps_nothing():
    after = Encoder(nn.Sequential(Linear(torch.zeros(3 * SIDE**2, LENGTH)), nn.Softmax(1)))
    found = measured(encoder(), after)
    assert (found.cka.value, *found.cka.ci95) == (0, 0, 0)
    assert found.effective_rank_after == pytest.approx(1, abs=1e-5)


def test_a_dead_new_encoder_has_rank_0():
    found = measured(encoder(), changed(encoder(), torch.zeros(5, 5)))
    assert (found.effective_rank.value, found.cka.value, found.cosine.value) == (0, 0, 0)


def test_json_says_all_of_it():
    found = measured(encoder(), changed(encoder(), torch.eye(5, 9)))
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain.keys() == {
        *("cka", "mutual_neighbours", "effective_rank", "cosine", "n", "seconds"),
        *("effective_rank_before", "effective_rank_after"),
    }
    assert plain["cka"] == {
        "value": found.cka.value,
        "ci95": list(found.cka.ci95),
        "yardstick": found.cka.yardstick,
    }
    assert (plain["n"], plain["cosine"]) == (60, None)
    assert math.isfinite(plain["seconds"])


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="at least 40 images, and 'noise' holds 39"):
        measure_utility(encoder(), encoder(), images(39), trainer=CPU)


def test_a_dead_old_encoder_is_refused():
    with pytest.raises(InputError, match="zeros for 60 of 60 images"):
        measured(changed(encoder(), torch.zeros(5, 5)), encoder())
