from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import mimic
from mimic.defenses import DEFENSES, FineTune, FromScratch
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.fitting import Fitting
from mimic.information.localize import localize
from mimic.purification import find_defense
from mimic.training import Trainer


class OwnNetwork(nn.Module):
    """A user's own network for any shape, in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images)).mean(dim=(2, 3))


def images(size: tuple[int, int] = (40, 56), count: int = 16) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
    return ImageSet.from_tensor(pixels)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def identical(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(autouse=True)
def _hasty_localization(monkeypatch) -> Iterator[None]:
    hasty = partial(localize, folds=2, fitting=Fitting(steps=2))
    monkeypatch.setattr("mimic.defenses.mimic.localize", hasty, raising=False)


def test_a_few_lines_purify_a_network_of_ones_own():
    network = OwnNetwork()
    result = mimic.purify(network, images(), epochs=1)
    assert isinstance(result.encoder.backbone, OwnNetwork)
    assert result.encoder(images().tensor()).shape == (16, 6)
    network.load_state_dict(result.encoder.backbone.state_dict())


def test_the_given_network_is_left_as_it_was():
    network = OwnNetwork()
    before = state(network)
    mimic.purify(network, images(), method="finetune", epochs=1)
    assert identical(state(network), before)
    assert all(module.training for module in network.modules())


def test_an_encoder_keeps_its_normalisation():
    suspect = Encoder(OwnNetwork(), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    result = mimic.purify(suspect, images(), method="finetune", epochs=0)
    assert torch.equal(result.encoder.mean, suspect.mean)
    assert identical(state(result.encoder), state(suspect))


def test_the_seed_decides():
    network = OwnNetwork()
    weights = [
        state(mimic.purify(network, images(), method="scratch", epochs=0, seed=seed).encoder)
        for seed in (0, 0, 1)
    ]
    assert identical(weights[0], weights[1])
    assert not identical(weights[0], weights[2])


def test_a_defence_with_settings_of_ones_own_may_be_given():
    defense = FineTune(epochs=2, batch_size=8)
    result = mimic.purify(OwnNetwork(), images(), method=defense)
    assert result.history.steps == 4


def test_standard_output_stays_empty(capsys):
    mimic.purify(OwnNetwork(), images(), method="scratch", epochs=1)
    assert capsys.readouterr().out == ""


def test_a_trainer_of_ones_own_is_used(tmp_path):
    mimic.purify(
        OwnNetwork(), images(), method="scratch", epochs=1, trainer=Trainer(folder=tmp_path)
    )
    assert (tmp_path / "scratch.ckpt").exists()


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="at least 16 are needed"):
        mimic.purify(OwnNetwork(), images(count=3))


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defence_is_found_by_its_name(name):
    assert find_defense(name) is DEFENSES[name]


def test_a_defence_is_its_own_name():
    defense = FromScratch(learning_rate=0.5)
    assert find_defense(defense) is defense


def test_an_unknown_method_is_refused_with_the_nearest_one():
    with pytest.raises(InputError, match="method 'fine-tune' is unknown; did you mean 'finetune'"):
        find_defense("fine-tune")


def test_an_unknown_method_like_no_other_is_refused_with_where_to_look():
    with pytest.raises(InputError, match="method 'exorcism' is unknown; 'mimic list defenses'"):
        find_defense("exorcism")
