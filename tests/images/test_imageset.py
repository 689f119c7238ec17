import pytest
import torch

from mimic.errors import InputError
from mimic.images.imageset import ImageSet


@pytest.fixture
def images() -> ImageSet:
    pixels = torch.arange(20, dtype=torch.uint8).reshape(20, 1, 1, 1).expand(20, 3, 2, 4)
    return ImageSet.from_tensor(pixels.contiguous(), torch.arange(20) % 5, name="twenty")


def values(images: ImageSet) -> list[int]:
    return images.tensor()[:, 0, 0, 0].tolist()


def test_knows_height_and_width(images):
    assert images.size == (2, 4)


def test_hands_out_the_images_at_the_positions_asked_for(images):
    assert images.batch(torch.tensor([3, 0, 3]))[:, 0, 0, 0].tolist() == [3, 0, 3]


def test_subset_of_a_subset_counts_from_the_subset(images):
    assert values(images.subset([5, 6, 7, 8]).subset([2, 0])) == [7, 5]


def test_subset_keeps_the_labels_beside_their_images(images):
    assert images.subset([7, 13]).labels.tolist() == [2, 3]


def test_sample_with_the_same_seed_is_the_same(images):
    assert values(images.sample(count=7, seed=3)) == values(images.sample(count=7, seed=3))


def test_sample_with_another_seed_is_another(images):
    assert values(images.sample(count=7, seed=3)) != values(images.sample(count=7, seed=4))


def test_sample_draws_without_replacement(images):
    assert sorted(values(images.sample(count=20, seed=1))) == list(range(20))


def test_sample_leaves_a_remainder_that_is_disjoint_from_it(images):
    chosen = images.sample(count=8, seed=0)
    rest = images.subset(sorted(set(range(20)) - set(chosen.indices.tolist())))
    assert sorted(values(chosen) + values(rest)) == list(range(20))


def test_smaller_sample_is_the_beginning_of_a_larger_one(images):
    assert values(images.sample(count=12, seed=5))[:4] == values(images.sample(count=4, seed=5))


@pytest.mark.parametrize(("ratio", "count"), [(0.05, 1), (0.25, 5), (1.0, 20), (1e-9, 1)])
def test_ratio_is_a_share_of_the_images_and_at_least_one(images, ratio, count):
    assert len(images.sample(ratio=ratio)) == count


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.01, float("nan")])
def test_ratio_out_of_range_is_refused(images, ratio):
    with pytest.raises(InputError, match="ratio"):
        images.sample(ratio=ratio)


@pytest.mark.parametrize("count", [0, -1, 21])
def test_count_out_of_range_is_refused_and_the_range_named(images, count):
    with pytest.raises(InputError, match="1 to 20"):
        images.sample(count=count)


def test_ratio_and_count_together_are_refused(images):
    with pytest.raises(InputError, match="not both"):
        images.sample(ratio=0.5, count=3)


def test_unlabelled_forgets_labels_and_class_names(images):
    bare = images.unlabelled()
    assert (bare.labels, bare.class_names) == (None, ())


def test_unlabelled_leaves_the_original_alone(images):
    images.unlabelled()
    assert images.labels is not None


@pytest.mark.parametrize(
    "pixels",
    [torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.zeros(3, 4, 4)],
)
def test_tensors_of_another_kind_are_refused(pixels):
    with pytest.raises(InputError, match="uint8 of shape"):
        ImageSet.from_tensor(pixels)


def test_as_many_labels_as_images_are_needed():
    with pytest.raises(InputError, match="2 images need 2 labels"):
        ImageSet.from_tensor(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(3))
