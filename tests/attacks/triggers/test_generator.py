import json
import re

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mimic.attacks.generators import PixelGenerator, ResNetGenerator, UNet
from mimic.attacks.triggers.generator import HEADER_KEY, Generated, load_generator, save_generator
from mimic.errors import InputError
from mimic.training.randomness import seeded


def _unet() -> PixelGenerator:
    return PixelGenerator(UNet(widths=(4, 8)), mean=(0.1, 0.2, 0.3), std=(0.7, 0.8, 0.9))


def _resnet() -> PixelGenerator:
    return PixelGenerator(ResNetGenerator(width=4, blocks=1), budget=8 / 255)


@pytest.fixture(params=[_unet, _resnet], ids=["unet", "resnet"])
def generator(request, digits) -> PixelGenerator:
    """One whose batch normalisation has seen images."""
    with seeded(0):
        generator = request.param()
        with torch.no_grad():
            generator.train()(digits[:64] / 255)
    return generator


@pytest.fixture
def trigger(generator) -> Generated:
    return Generated(generator=generator)


@pytest.fixture
def images(digits) -> Tensor:
    return digits[100:116]


@pytest.fixture
def saved(trigger, tmp_path) -> Generated:
    return save_generator(trigger, tmp_path / "g.safetensors")


def test_pixels_change_by_no_more_levels_than_the_budget(images):
    with seeded(0):
        trigger = Generated(generator=_resnet())
    assert (trigger(images).int() - images.int()).abs().max() <= 8


def test_stamping_twice_gives_the_same_pixels(trigger, images):
    assert torch.equal(trigger(images), trigger(images))


def test_an_image_does_not_depend_on_its_neighbours(trigger, images):
    floats = images / 255
    assert torch.allclose(trigger(floats)[3:4], trigger(floats[3:4]), atol=1e-5)


def test_bytes_are_the_rounded_floats(trigger, images):
    assert torch.equal(trigger(images), (trigger(images / 255) * 255).round().to(torch.uint8))


def test_training_the_generator_on_leaves_the_trigger_as_it_was(trigger, generator, images):
    before = trigger(images)
    with torch.no_grad():
        generator.train()(torch.rand(8, 3, 16, 16))
        for weight in generator.parameters():
            weight.add_(1)
    assert torch.equal(trigger(images), before)


def test_the_precision_around_it_makes_no_difference(trigger, images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = trigger(images)
    assert torch.equal(inside, trigger(images))


def test_a_file_gives_the_same_trigger_back(saved, trigger, images):
    again = load_generator(saved.path)
    assert again == trigger
    assert torch.equal(again(images), trigger(images))


def test_a_saved_trigger_spells_its_file(saved, tmp_path):
    assert saved.spelling == f"generator:{tmp_path / 'g.safetensors'}"


def test_other_weights_make_another_trigger(trigger, generator):
    with torch.no_grad():
        next(generator.parameters()).add_(1)
    other = Generated(generator=generator)
    assert other != trigger
    assert other.spelling != trigger.spelling


@pytest.mark.parametrize(
    ("make", "words"),
    [(_unet, "unet of .* weights.*without a limit"), (_resnet, "resnet of .*at most 8 levels")],
    ids=["unet", "resnet"],
)
def test_it_says_what_it_may_do(make, words):
    assert re.search(words, Generated(generator=make()).describe())


def test_other_suffixes_are_refused(trigger, tmp_path):
    with pytest.raises(InputError, match=r"into a \.safetensors file"):
        save_generator(trigger, tmp_path / "g.pth")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        load_generator(tmp_path / "none.safetensors")


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "g.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_generator(path)


def test_tensors_without_a_header_are_refused(tmp_path):
    path = tmp_path / "g.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="holds no generator"):
        load_generator(path)


def _rewrite(saved: Generated, tensors=None, **said) -> str:
    """The file again with some of its header or tensors replaced."""
    held = safetensors.torch.load_file(saved.path) | (tensors or {})
    with safetensors.safe_open(saved.path, framework="pt") as file:
        header = json.loads(file.metadata()[HEADER_KEY])
    header = {HEADER_KEY: json.dumps(header | said)}
    safetensors.torch.save_file(held, saved.path, header)
    return saved.path


@pytest.mark.parametrize(
    "said",
    [
        {"network": "vit"},
        {"settings": {"widths": [4, 10**9], "width": 10**9, "blocks": 1}},
        {"settings": {"widths": [4, 16], "width": 8, "blocks": 1}},
        {"settings": {}},
        {"mean": [0.0, 0.0]},
        {"std": [1.0, "1", 1.0]},
        {"budget": 2.0},
        {"budget": float("nan")},
    ],
    ids=["network", "huge", "other shapes", "no settings", "mean", "std", "budget", "nan budget"],
)
def test_a_header_that_does_not_fit_is_refused(saved, said):
    with pytest.raises(InputError, match="damaged"):
        load_generator(_rewrite(saved, **said))


def test_a_newer_file_is_refused(saved):
    with pytest.raises(InputError, match="newer mimic"):
        load_generator(_rewrite(saved, version=2))


@pytest.mark.parametrize(
    "change", [lambda t: t * torch.nan, lambda t: t.half()], ids=["nan", "f16"]
)
def test_weights_of_another_kind_are_refused(saved, change):
    held = safetensors.torch.load_file(saved.path)
    name = next(name for name, tensor in held.items() if tensor.ndim == 4)
    with pytest.raises(InputError, match=f"damaged.*{name}"):
        load_generator(_rewrite(saved, tensors={name: change(held[name])}))


def test_a_tensor_too_many_is_refused(saved):
    with pytest.raises(InputError, match="damaged"):
        load_generator(_rewrite(saved, tensors={"more": torch.zeros(1)}))
