import json
from dataclasses import asdict, dataclass
from typing import ClassVar

import pytest
import torch

from mimic.attacks.poisoning import (
    Poisoned,
    PoisoningAttack,
    drawn,
    other_positions,
    target_positions,
    with_appended,
    with_replaced,
    write_poisoned,
)
from mimic.attacks.triggers import parse_trigger
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.pretraining import SimClr
from mimic.training import Trainer


@dataclass(frozen=True, kw_only=True, eq=False)
class Stamped(PoisoningAttack):
    """Stamps every image of the target class."""

    summary: ClassVar[str] = "for tests"

    def poison(self, images: ImageSet) -> Poisoned:
        positions = target_positions(images, self.target)
        pixels = self.trigger(images.batch(positions))
        return Poisoned(images=with_replaced(images, positions, pixels), positions=positions)


@pytest.fixture
def images(digits) -> ImageSet:
    return ImageSet.from_tensor(digits[:40], torch.arange(40) % 4, name="toys")


@pytest.fixture
def pixels(digits) -> torch.Tensor:
    return 255 - digits[:3]


def test_positions_of_the_target_class_ascend(images):
    assert target_positions(images, 2).tolist() == list(range(2, 40, 4))


def test_images_without_labels_are_refused(images):
    with pytest.raises(InputError, match="'toys' carry no labels"):
        target_positions(images.unlabelled(), 2)


def test_a_class_that_does_not_occur_is_refused_with_those_that_do(images):
    with pytest.raises(InputError, match=r"of class 7; there are \[0, 1, 2, 3\]"):
        target_positions(images, 7)


def test_only_the_replaced_images_change(images, pixels):
    positions = torch.tensor([30, 2, 7])
    changed = with_replaced(images, positions, pixels).tensor()
    expected = images.tensor().clone()
    expected[positions] = pixels
    assert torch.equal(changed, expected)


def test_replacing_leaves_the_given_images_as_they_were(images, pixels):
    before = images.tensor().clone()
    with_replaced(images, torch.tensor([0, 1, 2]), pixels).tensor()
    assert torch.equal(images.tensor(), before)


def test_a_subset_of_replaced_images_follows_its_positions(images, pixels):
    changed = with_replaced(images, torch.tensor([5, 6, 7]), pixels).subset([6, 0])
    assert torch.equal(changed.tensor(), torch.stack([pixels[1], images.tensor()[0]]))


def test_a_subset_can_be_poisoned(images, pixels):
    some = images.subset([9, 8, 7])
    changed = with_replaced(some, torch.tensor([1]), pixels[:1])
    assert torch.equal(changed.tensor()[[0, 2]], images.tensor()[[9, 7]])


def test_appended_images_come_last(images, pixels):
    longer = with_appended(images, pixels)
    assert torch.equal(longer.tensor(), torch.cat([images.tensor(), pixels]))


def test_appended_images_can_be_read_alone_and_in_any_order(images, pixels):
    longer = with_appended(images, pixels)
    assert torch.equal(longer.batch(torch.tensor([42, 40])), pixels[[2, 0]])


@pytest.mark.parametrize("make", [with_appended, lambda i, p: with_replaced(i, torch.arange(3), p)])
def test_the_victim_gets_no_labels(images, pixels, make):
    assert make(images, pixels).labels is None


def test_an_attack_pretrains_on_what_it_poisoned(images, encoder):
    trainer = Trainer(device="cpu", precision="32-true")
    pretraining = SimClr(epochs=1, batch_size=20)
    trigger = parse_trigger("patch:4@0,0")
    attack = Stamped(target=2, trigger=trigger, pretraining=pretraining)
    attacked = attack(encoder, images, trainer=trainer)
    expected = pretraining(encoder, attack.poison(images).images, trainer=trainer).state_dict()
    actual = attacked.encoder.state_dict()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert attacked.triggers == (trigger,)


def test_positions_of_other_classes_ascend(images):
    assert other_positions(images, 2).tolist() == [i for i in range(40) if i % 4 != 2]


def test_a_target_class_that_does_not_occur_leaves_all_images(images):
    assert len(other_positions(images, 7)) == 40


def test_other_classes_need_labels(images):
    with pytest.raises(InputError, match="'toys' carry no labels"):
        other_positions(images.unlabelled(), 2)


def test_a_set_of_the_target_class_alone_is_refused(images):
    with pytest.raises(InputError, match="all images of 'toys' are of class 2"):
        other_positions(images.subset(target_positions(images, 2)), 2)


def test_drawn_positions_are_different_ones_and_ascend():
    positions = drawn(torch.arange(100) * 3, 60, torch.Generator().manual_seed(0)).tolist()
    assert positions == sorted(set(positions))
    assert len(positions) == 60
    assert all(position % 3 == 0 for position in positions)


def _written(images, path) -> dict:
    attack = Stamped(target=2, trigger=parse_trigger("patch:4@0,0"), seed=5)
    write_poisoned(attack, attack.poison(images), path)
    return json.loads((path / "manifest.json").read_text())


def test_a_written_set_is_the_poisoned_one(images, tmp_path):
    _written(images, tmp_path / "set")
    attack = Stamped(target=2, trigger=parse_trigger("patch:4@0,0"))
    assert torch.equal(
        open_images(tmp_path / "set").tensor(), attack.poison(images).images.tensor()
    )


def test_the_manifest_tells_what_is_poisoned_and_how(images, tmp_path):
    manifest = _written(images, tmp_path / "set")
    digest = manifest.pop("poisoned_sha256")
    assert len(digest) == 64
    assert manifest == {
        "attack": "Stamped",
        "settings": {
            "target": 2,
            "trigger": "patch:4@0,0:white",
            "pretraining": {"method": "simclr"} | asdict(SimClr()),
            "seed": 5,
        },
        "source": "toys",
        "images": 40,
        "poisoned": list(range(2, 40, 4)),
    }


def test_the_digest_of_the_manifest_follows_the_pixels(images, tmp_path):
    other = ImageSet.from_tensor(255 - images.tensor(), images.labels)
    digests = [_written(some, tmp_path / name) for name, some in (("a", images), ("b", other))]
    assert digests[0]["poisoned_sha256"] != digests[1]["poisoned_sha256"]
