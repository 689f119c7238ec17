import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mimic.attacks.reading import read_picture
from mimic.attacks.references import load_references, reference_classes
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

CPU = Trainer(device="cpu", precision="32-true")


def test_an_array_file_gives_all_its_references(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "references.npz", x=pixels, y=np.zeros(2))
    loaded = load_references(str(tmp_path / "references.npz"))
    assert torch.equal(loaded, torch.from_numpy(pixels).permute(0, 3, 1, 2))


def test_a_picture_is_one_reference(picture):
    assert torch.equal(load_references(str(picture)), read_picture(picture)[None])


def test_a_picture_is_resized_to_the_images(picture):
    assert load_references(str(picture), size=(16, 16)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("name", ["one", "priority", "truck"])
def test_the_released_references_are_single_images_of_32_pixels(badencoder_files, name):
    loaded = load_references(str(badencoder_files / f"reference_{name}.npz"), size=(32, 32))
    assert (loaded.shape, loaded.dtype) == ((1, 3, 32, 32), torch.uint8)


def test_references_are_resized_to_the_images(tmp_path):
    np.savez(tmp_path / "references.npz", x=np.zeros((2, 8, 8, 3), dtype=np.uint8))
    loaded = load_references(str(tmp_path / "references.npz"), size=(32, 32))
    assert loaded.shape == (2, 3, 32, 32)


def test_a_whole_data_set_is_refused(tmp_path):
    np.savez(tmp_path / "set.npz", x=np.zeros((65, 2, 2, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="gives 65 references, more than 64; pick some"):
        load_references(str(tmp_path / "set.npz"))


@pytest.fixture
def source(tmp_path):
    """A source of 100 images, the i-th of them all of level i."""
    levels = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    np.savez(tmp_path / "source.npz", x=np.broadcast_to(levels, (100, 4, 4, 3)))
    return str(tmp_path / "source.npz")


def test_images_of_a_source_are_picked_by_index(source):
    assert load_references(f"{source}#7,2")[:, 0, 0, 0].tolist() == [7, 2]


def test_an_index_beyond_the_source_is_refused(source):
    with pytest.raises(InputError, match=r"no image 100 in .* its images are 0 to 99"):
        load_references(f"{source}#1,100")


def test_a_missing_file_is_refused():
    with pytest.raises(InputError, match=r"no file 'gone\.png'"):
        load_references("gone.png")


@pytest.fixture(scope="module")
def shades() -> tuple[ImageSet, Tensor]:
    """Dark images of class 7, light ones of class 3; and one dark and two light references."""
    noise = torch.randint(0, 40, (43, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    light = torch.arange(43) % 3 > 0
    pixels = (noise + 200 * light.view(-1, 1, 1, 1)).to(torch.uint8)
    labels = torch.where(light, 3, 7)
    return ImageSet.from_tensor(pixels[:40], labels[:40]), pixels[[42, 40, 41]]


class _Brightness(nn.Module):
    """Light and dark point in two directions."""

    def forward(self, images: Tensor) -> Tensor:
        light = images.mean(dim=(1, 2, 3))
        return torch.stack([light, 1 - light], dim=1)


def test_references_get_the_classes_that_a_clean_head_sees(shades):
    train, references = shades
    found = reference_classes(Encoder(_Brightness()), references, train, trainer=CPU)
    assert found.tolist() == [7, 3, 3]


def test_a_head_needs_labels(shades):
    train, references = shades
    with pytest.raises(InputError, match="carry no labels"):
        reference_classes(Encoder(_Brightness()), references, train.unlabelled(), trainer=CPU)
