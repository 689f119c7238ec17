import torch

from mimic.images.imageset import ImageSet
from mimic.images.tagged import Tagged

PIXELS = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 2, 2)
TAGGED = Tagged(ImageSet.from_tensor(PIXELS.clone()), torch.tensor([50, 51, 52, 53, 54]))


def test_images_come_with_their_own_tags():
    images, tags = TAGGED.batch(torch.tensor([3, 1]))
    assert images[:, 0, 0, 0].tolist() == [3, 1]
    assert tags.tolist() == [53, 51]


def test_there_are_as_many_as_there_are_images():
    assert len(TAGGED) == 5


def test_what_is_streamed_stays_streamed():
    assert TAGGED.streamed == TAGGED.images.streamed
