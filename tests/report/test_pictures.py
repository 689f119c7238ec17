import json
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from mimic.errors import InputError
from mimic.report.figures import Rate
from mimic.report.pictures import (
    accuracy_floor,
    data_uri,
    draw_result_picture,
    encoder_rates,
    thumbnail,
)


def test_a_data_uri_holds_the_pixels():
    image = torch.randint(256, (3, 5, 7), generator=torch.Generator().manual_seed(0)).byte()
    content = b64decode(data_uri(image).removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(BytesIO(content)))
    assert torch.equal(torch.from_numpy(pixels.copy()).permute(2, 0, 1), image)


def test_rates_are_read_with_their_intervals(facts):
    first = encoder_rates(facts["encoders"], "accuracy")[0]
    assert (first.name, first.value, first.low) == ("clean", 0.967, pytest.approx(0.947))


@pytest.mark.parametrize(("low", "floor"), [(0.947, 0.9), (0.95, 0.9), (0.03, 0.0), (0.0, 0.0)])
def test_an_axis_of_accuracies_begins_below_every_interval(low, floor):
    assert accuracy_floor([Rate(name="a", value=0.99, low=low, high=1.0)]) == pytest.approx(floor)


def test_the_result_picture_is_a_png_of_both_rates(facts, tmp_path):
    (tmp_path / "demo.json").write_text(json.dumps(facts))
    picture = draw_result_picture(tmp_path / "demo.json", tmp_path / "docs" / "demo.png")
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 1000


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"encoders": [{"name": "clean"}]}'])
def test_another_file_is_refused_with_what_to_do(content, tmp_path):
    (tmp_path / "demo.json").write_text(content)
    with pytest.raises(InputError, match="run 'mimic demo' first"):
        draw_result_picture(tmp_path / "demo.json", tmp_path / "demo.png")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not the demo\.json of a demo"):
        draw_result_picture(tmp_path / "demo.json", tmp_path / "demo.png")


@pytest.mark.parametrize(
    ("size", "small"),
    [((8, 8), (8, 8)), ((64, 64), (16, 16)), ((64, 32), (16, 8)), ((99, 1), (16, 1))],
)
def test_a_thumbnail_keeps_the_proportions(size, small):
    image = torch.zeros(3, *size, dtype=torch.uint8)
    assert tuple(thumbnail(image, most=16).shape[1:]) == small


def test_a_thumbnail_averages_the_pixels_that_it_replaces():
    image = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4).repeat(3, 1, 1) * 10
    expected = torch.tensor([[25, 45], [105, 125]], dtype=torch.uint8)
    assert torch.equal(thumbnail(image, most=2), expected.repeat(3, 1, 1))
