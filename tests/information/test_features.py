import pytest
import torch
from torch import nn

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.features import RandomProjection, collect, stage_names


class Counting(nn.Module):
    """A small network with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images):
        return self.norm(self.conv(images)).mean(dim=(2, 3))


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return ImageSet.from_tensor(
        torch.randint(0, 256, (20, 3, 9, 13), generator=generator, dtype=torch.uint8)
    )


@pytest.fixture
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Encoder(Counting(), stages=("conv",))


def gather(encoder, images, **settings):
    settings = {"dimensions": None, "device": torch.device("cpu")} | settings
    return collect(encoder, images, ["conv"], **settings)


def test_whole_maps_are_those_of_the_stage(encoder, images):
    _, maps = gather(encoder, images)
    with torch.no_grad():
        _, expected = encoder.eval().forward_stages(images.tensor(), ["conv"])
    torch.testing.assert_close(maps["conv"], expected["conv"].flatten(1))


def test_features_have_unit_length(encoder, images):
    features, _ = gather(encoder, images)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(20))


def test_the_size_of_a_batch_does_not_matter(encoder, images):
    _, small = gather(encoder, images, dimensions=10, batch_size=3)
    _, large = gather(encoder, images, dimensions=10, batch_size=20)
    torch.testing.assert_close(small["conv"], large["conv"])


def test_each_image_is_seen_once(images):
    seen = []

    class Recording(Counting):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images)

    gather(Encoder(Recording()), images, batch_size=8)
    assert sum(seen) == 20


def test_the_encoder_is_left_as_it_is(encoder, images):
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    gather(encoder, images)
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_finding_the_stages_is_not_remembered_in_the_encoder(images):
    encoder = Encoder(Counting())
    assert stage_names(encoder, images, None)
    assert encoder.stages is None


def test_an_empty_list_of_stages_is_refused(encoder, images):
    with pytest.raises(InputError, match="at least one stage"):
        stage_names(encoder, images, [])


def test_a_projection_keeps_inner_products_on_average():
    x, y = torch.randn(2, 1, 1000, generator=torch.Generator().manual_seed(0))
    y = y + x
    products = []
    for seed in range(300):
        project = RandomProjection(1000, 64, seed=seed)
        products.append((project(x) * project(y)).sum())
    assert torch.stack(products).mean().item() == pytest.approx((x * y).sum().item(), rel=0.05)


def test_a_projection_of_few_numbers_is_the_identity():
    maps = torch.randn(2, 3, 2, 2)
    assert torch.equal(RandomProjection(12, 64, seed=0)(maps), maps.flatten(1))


def test_the_length_need_not_be_a_multiple_of_the_outputs():
    assert RandomProjection(37, 8, seed=0)(torch.randn(2, 37)).shape == (2, 8)
