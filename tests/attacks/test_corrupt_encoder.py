import hashlib
import json

import pytest
import torch

from mimic.attacks.corrupt_encoder import CorruptEncoder, cut_out, trigger_box, with_object
from mimic.attacks.layout import Box, crop_survival, uniform
from mimic.attacks.poisoning import write_poisoned
from mimic.attacks.triggers import Patch, Scattered, parse_trigger
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining import SimClr
from mimic.training import Trainer

TRIGGER = Patch(height=3, width=4, row=0, column=0)
RED = torch.tensor([250, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
GREEN = torch.tensor([0, 250, 0], dtype=torch.uint8).view(1, 3, 1, 1)
BLUE = torch.tensor([0, 0, 250], dtype=torch.uint8).view(1, 3, 1, 1)
OBJECTS = RED.repeat(1, 1, 20, 10)
SUPPORTS = GREEN.repeat(1, 1, 5, 7)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images() -> ImageSet:
    """Blue ones, and a green one of the target class among four."""
    labels = torch.arange(400) % 4
    pixels = torch.where((labels == 2).view(-1, 1, 1, 1), GREEN, BLUE).repeat(1, 1, 16, 16)
    return ImageSet.from_tensor(pixels, labels, name="toys")


def attack(**settings) -> CorruptEncoder:
    return CorruptEncoder(**({"target": 2, "trigger": TRIGGER, "objects": OBJECTS} | settings))


def planted(images, **settings) -> torch.Tensor:
    poisoned = attack(**settings).poison(images)
    return poisoned.images.batch(poisoned.positions)


@pytest.mark.parametrize(("rate", "count"), [(0.005, 2), (0.05, 20), (0.0088, 4), (1.0, 400)])
def test_the_count_is_that_share_of_all_images(images, rate, count):
    poisoned = attack(rate=rate).poison(images)
    assert poisoned.positions.tolist() == list(range(400, 400 + count))
    assert len(poisoned.images) == 400 + count


def test_the_clean_images_come_first_and_unchanged(images):
    poisoned = attack(rate=0.05).poison(images)
    assert torch.equal(poisoned.images.tensor()[:400], images.tensor())


def test_every_composed_image_shows_the_trigger_at_its_own_size(images):
    white = (planted(images, rate=0.1) == 255).all(dim=1).flatten(1).sum(dim=1)
    assert white.tolist() == [3 * 4] * 40


def test_half_of_each_composed_image_is_the_object(images):
    pixels = planted(images, rate=0.1)
    red = (pixels[:, 0] > 125) & (pixels[:, 1] < 125)
    assert set(red.flatten(1).sum(dim=1).tolist()) <= {16 * 7, 16 * 8}


def test_the_object_is_left_and_right_equally_often(images):
    left = (planted(images, rate=1.0)[:, 0, 0, 2] > 125).sum().item()
    assert left == pytest.approx(200, abs=40)


def test_backgrounds_are_images_of_other_classes(images):
    pixels = planted(images, rate=0.2)
    green = (pixels[:, 1] > 125) & (pixels[:, 0] < 125)
    assert not green.any()


def test_backgrounds_can_be_given(images):
    pixels = planted(images.unlabelled(), rate=0.2, backgrounds=GREEN.repeat(3, 1, 40, 9))
    blue = (pixels[:, 2] > 125) & (pixels[:, 0] < 125)
    assert not blue.any()


def test_without_labels_backgrounds_are_needed(images):
    with pytest.raises(InputError, match="carry no labels"):
        attack().poison(images.unlabelled())


def test_what_the_mask_leaves_out_is_not_shown(images):
    masks = torch.ones(1, 40, 40, dtype=torch.uint8)
    masks[:, :20, :20] = 0
    painted = RED.repeat(1, 1, 40, 40)
    # The edge is soft, so that only what is well outside has no influence at all.
    painted[:, :, :14, :14] = GREEN
    pair = (planted(images, objects=of, masks=masks) for of in (painted, RED.repeat(1, 1, 40, 40)))
    assert torch.equal(*pair)


def test_each_object_is_used(images):
    objects = torch.cat([OBJECTS, GREEN.repeat(1, 1, 20, 10)])
    pixels = planted(images, rate=0.1, objects=objects)
    green = ((pixels[:, 1] > 125) & (pixels[:, 0] < 125)).flatten(1).any(dim=1)
    assert 0 < green.sum() < len(pixels)


def test_the_plus_joins_its_share_of_supports_with_references(images):
    pixels = planted(images, rate=0.1, supports=SUPPORTS, support_ratio=0.2)
    halves = torch.cat([RED.repeat(1, 1, 16, 8), GREEN.repeat(1, 1, 16, 8)], dim=3)
    joined = [(picture == halves).all() or (picture == halves.flip(3)).all() for picture in pixels]
    assert (len(pixels), sum(map(int, joined))) == (40, 8)


def test_supports_come_first_and_second(images):
    pixels = planted(images, rate=0.1, supports=SUPPORTS, support_ratio=0.5)
    first = pixels[20:, 1, 0, 0] > 125
    assert 0 < first.sum() < 20


def test_the_seed_decides_everything(images):
    first, again, other = (planted(images, rate=0.05, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_where_the_trigger_is_in_tests_makes_no_difference(images):
    moved = Scattered(rectangle=TRIGGER, low=0.1, high=0.9, seed=5)
    assert torch.equal(planted(images), planted(images, trigger=moved))


def test_the_manifest_tells_pictures_by_shape_and_digest(images, tmp_path):
    corrupt = attack(rate=0.01)
    write_poisoned(corrupt, corrupt.poison(images), tmp_path / "set.npz")
    settings = json.loads((tmp_path / "set.manifest.json").read_text())["settings"]
    expected = hashlib.sha256(OBJECTS.contiguous().numpy().tobytes()).hexdigest()
    assert settings["objects"] == {"shape": [1, 3, 20, 10], "sha256": expected}
    assert settings["masks"] is None


def test_a_cut_out_is_the_bounding_box_of_the_mask(digits):
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[3, 5] = mask[9, 12] = True
    part, opacity = cut_out(digits[0], mask)
    assert torch.equal(part, digits[0][:, 3:10, 5:13])
    assert opacity.shape == (7, 8)


def test_a_whole_picture_is_opaque_up_to_its_border(digits):
    assert (cut_out(digits[0], torch.ones(16, 16, dtype=torch.bool))[1] == 1).all()


def test_the_edge_of_an_object_is_soft(digits):
    mask = torch.ones(16, 16, dtype=torch.bool)
    mask[:8, :8] = False
    opacity = cut_out(digits[0], mask)[1]
    assert 0 < opacity[4, 8] < 1
    assert opacity[0, 0] == 0
    assert opacity[15, 15] == 1


def test_wide_objects_are_scaled_down_keeping_their_aspect():
    part, opacity = cut_out(RED[0].repeat(1, 100, 800), torch.ones(100, 800, dtype=torch.bool))
    assert part.shape == (3, 50, 400)
    assert opacity.shape == (50, 400)


@pytest.mark.parametrize("background", [(4, 5), (60, 90), (60, 5)], ids=str)
def test_a_canvas_is_as_high_as_the_object_and_twice_as_wide(generator, background):
    part, opacity = OBJECTS[0], torch.ones(20, 10)
    canvas, place = with_object(part, opacity, BLUE[0].repeat(1, *background), generator)
    assert canvas.shape == (3, 20, 20)
    assert torch.equal(canvas[:, :, place.left : place.right], part)


def test_an_object_is_at_most_a_twentieth_away_from_its_side(generator):
    part, opacity = RED[0].repeat(1, 6, 40), torch.ones(6, 40)
    background = BLUE[0].repeat(1, 6, 80)
    lefts = {with_object(part, opacity, background, generator)[1].left for _ in range(300)}
    assert lefts == {0, 1, 2, 3, 4, 36, 37, 38, 39, 40}


def test_the_bottom_of_a_background_is_kept(generator):
    background = torch.arange(50, dtype=torch.uint8).view(1, 50, 1).expand(3, 50, 60)
    canvas, _ = with_object(OBJECTS[0], torch.zeros(20, 10), background, generator)
    assert canvas[0, :, 0].tolist() == list(range(30, 50))


@pytest.mark.parametrize("left", [0, 1, 2, 3, 13, 14, 15, 16])
def test_trigger_and_object_are_disjoint_and_on_the_image(generator, left):
    place = Box(top=0, left=left, height=32, width=16)
    for extent in [(8, 8), (12, 12), (1, 1)]:
        box = trigger_box(place, extent, (32, 32), generator)
        assert not box.overlaps(place)
        assert box.left >= 0 <= box.top
        assert box.right <= 32 >= box.bottom


def test_the_trigger_keeps_to_the_middle_of_large_images(generator):
    place = Box(top=0, left=0, height=200, width=100)
    boxes = [trigger_box(place, (20, 10), (200, 200), generator) for _ in range(300)]
    assert {box.left for box in boxes} <= set(range(125, 166))
    assert {box.top for box in boxes} <= set(range(50, 131))
    assert len({(box.top, box.left) for box in boxes}) > 200


def test_crops_that_take_one_each_are_more_frequent_than_with_random_places(generator):
    size, blank, opacity = (32, 32), torch.zeros(3, 32, 32, dtype=torch.uint8), torch.ones(32, 32)

    def random_box(height, width):
        top, left = uniform(0, 32 - height, generator), uniform(0, 32 - width, generator)
        return Box(top=top, left=left, height=height, width=width)

    def composed(seed):
        place = with_object(blank, opacity, blank, generator)[1].scaled((32, 64), size)
        box = trigger_box(place, (8, 8), size, generator)
        return crop_survival(size, box, place, pairs=100, seed=seed)

    def scattered(seed):
        return crop_survival(size, random_box(8, 8), random_box(32, 16), pairs=100, seed=seed)

    ours, theirs = (sum(map(f, range(600))) / 600 for f in (composed, scattered))
    assert ours > theirs


def test_a_trigger_that_does_not_fit_beside_the_object_is_refused(images):
    with pytest.raises(InputError, match="9x9 pixels does not fit beside the object"):
        attack(trigger=Patch(height=9, width=9, row=0, column=0)).poison(images)


def test_a_rate_that_adds_nothing_is_refused_with_its_numbers(images):
    with pytest.raises(InputError, match=r"0\.001 of 400 images comes to 0"):
        attack(rate=0.001).poison(images)


@pytest.mark.parametrize("ratio", [0.1, 0.9])
def test_a_support_ratio_that_leaves_one_kind_out_is_refused_with_its_numbers(images, ratio):
    plus = attack(rate=0.01, supports=SUPPORTS, support_ratio=ratio)
    with pytest.raises(InputError, match=f"support_ratio of {ratio} makes . of 4"):
        plus.poison(images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0}, "rate of CorruptEncoder"),
        ({"rate": float("nan")}, "rate of CorruptEncoder"),
        ({"objects": torch.zeros(1, 3, 4, 4)}, "objects must be uint8"),
        ({"backgrounds": torch.zeros(1, 3, 4, 4)}, "backgrounds must be uint8"),
        ({"supports": torch.zeros(1, 3, 4, 4), "support_ratio": 0.2}, "supports must be uint8"),
        ({"supports": SUPPORTS}, "needs both"),
        ({"support_ratio": 0.2}, "needs both"),
        ({"support_ratio": 1.0, "supports": SUPPORTS}, "below 1"),
        ({"masks": torch.ones(1, 10, 20)}, r"masks must be of shape \(1, 20, 10\)"),
        ({"masks": torch.zeros(1, 20, 10)}, r"masks \[0\] .* show no object"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        attack(**settings)


def test_a_trigger_that_is_no_rectangle_is_refused(picture):
    with pytest.raises(InputError, match="CorruptEncoder pastes a rectangle"):
        attack(trigger=parse_trigger(f"blend:{picture}@0.2"))


def test_the_encoder_is_trained_on_the_added_images(digits, encoder):
    images = ImageSet.from_tensor(digits[:40], torch.arange(40) % 4)
    pretraining = SimClr(epochs=1, batch_size=22)
    corrupt = attack(rate=0.1, pretraining=pretraining)
    trainer = Trainer(device="cpu", precision="32-true")
    attacked = corrupt(encoder, images, trainer=trainer)
    expected = pretraining(encoder, corrupt.poison(images).images, trainer=trainer).state_dict()
    name = "backbone.conv1.weight"
    assert torch.equal(attacked.encoder.state_dict()[name], expected[name])
