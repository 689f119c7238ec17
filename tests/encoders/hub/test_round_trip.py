"""Every network of the table in docs/encoders.md goes through mimic and back to its library."""

from functools import partial

import pytest
import torch

from mimic.defenses.mimic import Mimic
from mimic.encoders.export import export_purified
from mimic.encoders.loading import load_encoder
from mimic.images.imageset import ImageSet
from mimic.information.fitting import Fitting
from mimic.training import Trainer

from ...scripts import load_script

TABLE = load_script("docs/architecture_table.py")


@pytest.fixture
def purify(monkeypatch):
    """The default method for two steps, with critics that are hardly trained and no search."""
    monkeypatch.setattr("mimic.information.estimate.Fitting", partial(Fitting, steps=2))
    method = Mimic(epochs=2, batch_size=16, searched_share=0, recoloured_share=0, waved_share=0)
    return partial(method, trainer=Trainer(device="cpu", precision="32-true"))


@pytest.mark.parametrize("network", TABLE.NETWORKS, ids=lambda network: network.title)
def test_a_purified_network_goes_back_to_its_library(network, libraries, purify, tmp_path):
    library = libraries[network.library]
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    source = library.write(network, library.create(network), before)
    suspect = load_encoder(source)
    pixels = torch.randint(0, 256, (16, 3, network.size, network.size), dtype=torch.uint8)
    suspect.image_size = network.size

    purified = purify(suspect, ImageSet.from_tensor(pixels)).encoder
    export_purified(purified, original=suspect.origin.path, directory=after, manifest={})

    images = pixels[:2].float() / 255
    reloaded = library.reload(network, after).eval()
    with torch.no_grad():
        expected = library.features(reloaded, (images - purified.mean) / purified.std)
        assert not torch.allclose(suspect(images), expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(purified(images), expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(load_encoder(after)(images), purified(images))


def test_the_table_has_at_least_25_networks():
    assert len({network.encoder for network in TABLE.NETWORKS}) >= 25


def test_the_page_shows_the_table():
    text = TABLE.PAGE.read_text(encoding="utf-8")
    assert TABLE.page_with(TABLE.table(), text) == text, "run python docs/architecture_table.py"
