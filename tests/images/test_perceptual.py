import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mimic.images import perceptual
from mimic.images.perceptual import difference_hash, similar_pairs, thumbnail


def photograph(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Soft blobs, as different from each other as photographs are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def recompressed(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def pairs_of(*pictures: Image.Image) -> list[list[int]]:
    return similar_pairs(np.stack([thumbnail(picture) for picture in pictures])).tolist()


def test_thumbnail_holds_the_mean_of_each_part():
    levels = np.random.default_rng(0).integers(0, 256, (8, 9), dtype=np.uint8)
    picture = Image.fromarray(np.kron(levels, np.ones((5, 4), np.uint8)).astype(np.uint8))
    assert np.array_equal(thumbnail(picture.convert("RGB")), levels)


def test_hash_has_a_bit_for_every_step_to_a_brighter_level():
    levels = np.random.default_rng(0).integers(0, 256, (50, 8, 9), dtype=np.uint8)
    bits = np.unpackbits(difference_hash(levels).view(np.uint8), axis=1).sum(axis=1)
    steps = (np.diff(levels.astype(int), axis=2) > 0).sum(axis=(1, 2))
    assert np.array_equal(bits, steps)


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture.resize((224, 224), Image.Resampling.BICUBIC),
        lambda picture: picture.resize((48, 40), Image.Resampling.BICUBIC),
        lambda picture: recompressed(picture, 30),
        lambda picture: ImageEnhance.Brightness(picture).enhance(0.95),
        lambda picture: picture.convert("L").convert("RGB"),
    ],
    ids=["enlarged", "shrunk", "recompressed", "darker", "grey"],
)
def test_copies_that_were_changed_a_little_are_alike(change):
    assert pairs_of(photograph(1), change(photograph(1))) == [[0, 1]]


def test_different_pictures_are_not_alike():
    assert pairs_of(*(photograph(seed) for seed in range(300))) == []


def test_mirror_image_is_another_picture():
    picture = photograph(1)
    assert pairs_of(picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == []


def test_pictures_of_one_hash_but_other_levels_are_not_alike():
    rising = np.arange(9, dtype=np.uint8)[None].repeat(8, axis=0)
    assert similar_pairs(np.stack([rising, rising * 20])).tolist() == []


def test_every_pair_that_a_comparison_of_all_with_all_finds_is_found():
    random = np.random.default_rng(0)
    # Few levels, so that many hashes are close.
    thumbnails = random.integers(100, 104, (40, 8, 9), dtype=np.uint8).repeat(10, axis=0)
    noise = random.random(thumbnails.shape) < 0.02
    thumbnails = thumbnails + noise.astype(np.uint8)
    bits = np.unpackbits(difference_hash(thumbnails).view(np.uint8), axis=1).astype(int)
    distances = np.abs(bits[:, None] - bits[None]).sum(axis=2)
    expected = np.argwhere(np.triu(distances <= perceptual.MOST_BITS, k=1))
    assert len(expected) > 100
    assert np.array_equal(similar_pairs(thumbnails), expected)


def test_crowds_of_copies_stay_connected_with_bounded_work():
    thumbnails = np.repeat(thumbnail(photograph(3))[None], 1_000, axis=0)
    pairs = similar_pairs(thumbnails)
    assert len(pairs) <= 6 * 16 * 1_000
    neighbours = {(i, i + 1) for i in range(999)}
    assert neighbours <= set(map(tuple, pairs.tolist()))


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_have_no_pairs(count):
    assert similar_pairs(np.zeros((count, 8, 9), np.uint8)).shape == (0, 2)
