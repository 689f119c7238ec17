import pytest
import torch

from mimic.images.augment import Augmentation

SIZE = (12, 20)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def pictures(batch=64):
    return torch.rand(batch, 3, *SIZE)


def seeded(images, seed=1, **settings):
    torch.manual_seed(seed)
    return Augmentation(SIZE, **settings)(images)


def test_shape_and_dtype_stay():
    views = Augmentation(SIZE)(pictures())
    assert (views.shape, views.dtype) == ((64, 3, *SIZE), torch.float32)


def test_values_stay_between_zero_and_one():
    images = pictures()
    images[::2] = images[::2].round()
    views = Augmentation(SIZE)(images)
    assert views.min() >= 0
    assert views.max() <= 1


def test_the_given_images_stay_as_they_are():
    images = pictures()
    before = images.clone()
    Augmentation(SIZE)(images)
    assert torch.equal(images, before)


def test_each_image_gets_a_view_of_its_own():
    views = Augmentation(SIZE)(pictures(1).expand(16, -1, -1, -1))
    assert len(views.flatten(1).unique(dim=0)) == 16


def test_the_same_seed_gives_the_same_views():
    images = pictures()
    assert torch.equal(seeded(images), seeded(images))


def test_another_seed_gives_other_views():
    images = pictures()
    assert not torch.equal(seeded(images), seeded(images, seed=2))


def test_autocast_changes_nothing():
    images = pictures()
    expected = seeded(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = seeded(images)
    assert torch.equal(found, expected)


def test_half_precision_images_give_float32_views():
    assert Augmentation(SIZE)(pictures().bfloat16()).dtype == torch.float32


def test_views_need_no_gradient():
    assert not Augmentation(SIZE)(pictures().requires_grad_()).requires_grad


def test_there_is_nothing_to_train():
    assert list(Augmentation(SIZE).parameters()) == []


def test_about_one_view_in_five_is_grey():
    views = seeded(pictures(1000))
    grey = (views.amax(dim=1) - views.amin(dim=1)).amax(dim=(1, 2)) < 1e-4
    assert grey.float().mean().item() == pytest.approx(0.2, abs=0.05)


def test_the_smallest_share_of_an_image_that_a_view_shows_can_be_set():
    # a ramp over the width: its slope in a view says how much of the width is shown
    ramp = (torch.arange(SIZE[1]) / SIZE[1]).expand(500, 3, *SIZE)
    spreads = []
    for min_scale in (0.08, 0.9):
        views = seeded(ramp, min_scale=min_scale, hue=0.0).mean(dim=(1, 2))
        spreads.append((views.amax(dim=1) - views.amin(dim=1)).mean().item())
    assert spreads[0] < 0.8 * spreads[1]
