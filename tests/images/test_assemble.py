from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mimic.errors import InputError, RunError
from mimic.images.assemble import assemble
from mimic.images.decode import BrokenImageError, fit
from mimic.images.pictures import Pictures


def pictures(arrays: list[np.ndarray | None], labels: list[int] | None = None) -> Pictures:
    """Pictures of given pixels; None is a broken one."""

    def picture(index: int) -> Image.Image:
        array = arrays[index]
        if array is None:
            raise BrokenImageError("torn")
        return Image.fromarray(array)

    return Pictures(
        count=len(arrays),
        picture=picture,
        title=lambda index: f"number {index}",
        name="a test",
        labels=None if labels is None else torch.tensor(labels),
    )


def noise(count: int, height: int = 4, width: int = 6, seed: int = 0) -> list[np.ndarray | None]:
    shape = (count, height, width, 3)
    return list(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_pictures_of_one_size_are_kept_bit_for_bit():
    arrays = noise(300)
    expected = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    assert torch.equal(assemble(pictures(arrays)).tensor(), expected)


def test_most_common_size_wins():
    arrays = noise(2, 8, 8) + noise(3, 4, 6) + noise(1, 30, 30)
    assert assemble(pictures(arrays)).size == (4, 6)


def test_most_common_size_is_independent_of_the_order():
    arrays = noise(2, 8, 8) + noise(2, 4, 6)
    assert assemble(pictures(arrays)).size == assemble(pictures(arrays[::-1])).size


def test_pictures_of_the_most_common_size_stay_bit_for_bit():
    arrays = noise(2, 8, 8) + noise(3, 4, 6)
    assert torch.equal(
        assemble(pictures(arrays)).batch(torch.tensor([3])),
        torch.from_numpy(arrays[3]).permute(2, 0, 1)[None],
    )


def test_size_that_is_asked_for_wins_over_all():
    assert assemble(pictures(noise(3)), size=(5, 9)).tensor().shape == (3, 3, 5, 9)


def test_default_size_of_the_source_gives_way_to_one_that_is_asked_for():
    source = replace(pictures(noise(2)), default_size=(7, 7))
    assert (assemble(source).size, assemble(source, size=(3, 2)).size) == ((7, 7), (3, 2))


def test_broken_pictures_are_left_out_and_named():
    arrays = [*noise(10), None]
    assert assemble(pictures(arrays[::-1])).skipped == ("number 0: torn",)


def test_labels_stay_beside_their_images_when_one_is_left_out():
    arrays = noise(12)
    arrays[3] = None
    images = assemble(pictures(arrays, labels=list(range(12))))
    position = images.labels.tolist().index(7)
    expected = torch.from_numpy(arrays[7]).permute(2, 0, 1)
    assert torch.equal(images.batch(torch.tensor([position]))[0], expected)


def test_a_tenth_of_broken_pictures_is_skipped():
    assert len(assemble(pictures([*noise(9), None]))) == 9


def test_more_than_a_tenth_of_broken_pictures_is_refused():
    with pytest.raises(InputError, match=r"2 of 10 .* more than the 10%"):
        assemble(pictures([*noise(8), None, None]))


def test_share_of_broken_pictures_can_be_set():
    assert len(assemble(pictures([*noise(1), None]), max_broken_share=0.5)) == 1


def test_sources_without_a_readable_picture_are_refused():
    with pytest.raises(InputError, match="none of the 2 images"):
        assemble(pictures([None, None]), size=(4, 4), max_broken_share=1.0)


@pytest.mark.parametrize("size", [None, (4, 4)])
def test_empty_sources_are_refused(size):
    with pytest.raises(InputError, match="holds no images"):
        assemble(pictures([]), size=size)


def test_long_lists_of_broken_pictures_are_cut_short():
    with pytest.raises(InputError, match="and 15 more"):
        assemble(pictures([None] * 20))


def test_sets_above_the_memory_limit_are_streamed():
    limit = 3 * 4 * 6 * 5
    below, above = (assemble(pictures(noise(n)), memory_limit=limit).streamed for n in (5, 6))
    assert (below, above) == (False, True)


def test_streamed_equals_held_bit_for_bit():
    arrays = noise(5, 9, 9) + noise(6, 4, 6) + [None]
    held = assemble(pictures(arrays))
    streamed = assemble(pictures(arrays), memory_limit=0)
    order = torch.tensor([10, 0, 3, 3, 7])
    assert torch.equal(streamed.batch(order), held.batch(order))


def test_streamed_sets_name_broken_pictures_as_held_ones_do():
    arrays = [None, *noise(10)]
    held, streamed = (assemble(pictures(arrays), memory_limit=n) for n in (1 << 20, 0))
    assert streamed.skipped == held.skipped


def test_streamed_pictures_that_break_later_are_a_run_error_with_a_name():
    arrays = noise(3)
    images = assemble(pictures(arrays), memory_limit=0)
    arrays[1] = None
    with pytest.raises(RunError, match="number 1"):
        images.tensor()


def test_streamed_sets_hand_out_empty_batches():
    images = assemble(pictures(noise(3)), memory_limit=0)
    assert images.subset([]).tensor().shape == (0, 3, 4, 6)


def test_resampling_of_the_source_is_used():
    array = noise(1)[0]
    source = replace(pictures([array]), resampling=Image.Resampling.NEAREST)
    expected = fit(Image.fromarray(array), (8, 12), resampling=Image.Resampling.NEAREST)
    assert np.array_equal(assemble(source, size=(8, 12)).tensor()[0].numpy(), expected)
