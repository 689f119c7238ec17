"""Attention maps of a report: places of maps and tokens, agreement, and shared scales."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mimic.encoders.encoder import Encoder
from mimic.report.dossier.attention import agreement, attention, attention_maps

IMAGES = torch.arange(2 * 3 * 8 * 8).reshape(2, 3, 8, 8).remainder(251).to(torch.uint8)


class Staged(nn.Module):
    """Two stages: the image itself, and its four quarters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1, bias=False), nn.MaxPool2d(4)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images)).mean(dim=(2, 3))


class Tokens(nn.Module):
    """One stage: a class token and those of sixteen patches."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 2, stride=2)
        self.blocks = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.embed(images).flatten(2).transpose(1, 2)
        return self.blocks(torch.cat([patches[:, :1], patches], dim=1)).mean(dim=1)


@pytest.fixture
def staged() -> Encoder:
    torch.manual_seed(0)
    return Encoder(Staged(), stages=("first", "second"))


def pixels(source: str) -> np.ndarray:
    return np.array(Image.open(BytesIO(b64decode(source.partition(",")[2]))))


def test_maps_of_a_stage_have_its_size_and_unit_norm(staged):
    maps = attention_maps(staged, IMAGES)
    assert [tuple(found.shape) for found in maps.values()] == [(2, 8, 8), (2, 2, 2)]
    norms = torch.cat([found.flatten(1).norm(dim=1) for found in maps.values()])
    assert torch.allclose(norms, torch.ones(4), atol=1e-4)


def test_looking_leaves_the_encoder_as_it_was(staged):
    staged.train()
    attention_maps(staged, IMAGES)
    assert all(module.training for module in staged.modules())
    assert not any(module._forward_hooks for module in staged.modules())


def test_tokens_are_laid_out_as_the_places_of_their_patches():
    torch.manual_seed(0)
    maps = attention_maps(Encoder(Tokens(), stages=("blocks",)), IMAGES)
    assert maps["blocks"].shape == (2, 4, 4)


def test_an_encoder_without_stages_has_no_maps(without_door):
    assert attention_maps(without_door, IMAGES) == {}
    assert attention({"before": {}}, IMAGES, [False, False], agreement={}) is None


def test_the_same_maps_agree_fully_and_those_without_a_common_place_not_at_all():
    left, right = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    left[0, 0, 0], right[0, 1, 1] = 3.0, 1.0
    assert agreement({"a": left, "b": left}, {"a": left, "b": right}) == {"a": 1.0, "b": 0.0}


def test_maps_of_other_stages_or_sizes_are_not_compared():
    ours, theirs = {"a": torch.ones(1, 2, 2)}, {"a": torch.ones(1, 4, 4), "b": torch.ones(1, 2, 2)}
    assert agreement(ours, theirs) == {}


def test_maps_of_the_same_image_and_stage_share_a_scale():
    strong, weak = {"a": torch.full((1, 2, 2), 1.0)}, {"a": torch.full((1, 2, 2), 0.5)}
    found = {"before": strong, "after": weak}
    made = attention(found, IMAGES[:1], [False], agreement={})
    bright, half = (pixels(row.maps[0])[0, 0] for row in made.images[0].rows)
    assert bright.tolist() == [253, 231, 36]  # the yellow end of the scale
    assert half.tolist() != bright.tolist()


def test_an_encoder_with_other_stages_is_left_out():
    found = {"before": {"a": torch.ones(1, 2, 2)}, "after": {"b": torch.ones(1, 2, 2)}}
    made = attention(found, IMAGES[:1], [False], agreement={})
    assert [row.role for row in made.images[0].rows] == ["before"]
