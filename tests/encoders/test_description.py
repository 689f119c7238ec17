import json

import pytest

from mimic.encoders.description import Description, read_description
from mimic.errors import InputError

FULL = Description(
    architecture="resnet10:width=4",
    factory="a:b",
    mean=(0.5, 0.4, 0.3),
    std=(0.1, 0.2, 0.3),
    image_size=32,
    stages=("layer1",),
    extra={"seed": 3},
)


@pytest.mark.parametrize("description", [Description(), FULL])
def test_a_description_survives_the_header(description):
    assert read_description(description.header(), "f") == description


def test_a_header_without_one_gives_none():
    assert read_description({"format": "pt"}, "f") is None


def test_a_newer_version_asks_for_an_update():
    with pytest.raises(InputError, match="newer mimic"):
        read_description({"mimic": json.dumps({"version": 99})}, "f")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": "x"}', '{"version": 1e999}', "3", "[" * 100_000]
)
def test_a_damaged_header_is_refused(text):
    with pytest.raises(InputError, match="is damaged"):
        read_description({"mimic": text}, "f")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architecture", 3),
        ("mean", None),
        ("std", ["x"]),
        ("stages", 4),
        ("image_size", float("inf")),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key, value):
    said = json.loads(FULL.header()["mimic"]) | {key: value}
    with pytest.raises(InputError, match="is damaged"):
        read_description({"mimic": json.dumps(said)}, "f")
