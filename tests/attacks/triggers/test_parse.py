import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic.attacks.triggers import (
    TRIGGERS,
    Blend,
    Frequency,
    Grid,
    Patch,
    Scattered,
    Sticker,
    Warp,
    parse_trigger,
)
from mimic.errors import InputError


def test_a_patch_is_white_unless_told_otherwise():
    assert parse_trigger("patch:10@21,21") == Patch(height=10, width=10, row=21, column=21)


def test_a_patch_may_be_a_rectangle():
    assert parse_trigger("patch:2x3@4,5") == Patch(height=2, width=3, row=4, column=5)


@pytest.mark.parametrize(
    ("text", "colour"), [("black", (0, 0, 0)), ("red", (255, 0, 0)), ("#01fF80", (1, 255, 128))]
)
def test_a_patch_has_a_colour(text, colour):
    assert parse_trigger(f"patch:1@0,0:{text}").colour == colour


def test_an_unknown_colour_lists_the_known_ones():
    with pytest.raises(InputError, match=r"colour 'pinkish' .* #rrggbb or one of white, black"):
        parse_trigger("patch:1@0,0:pinkish")


def test_the_last_at_sign_ends_the_file_of_a_sticker(picture):
    expected = Sticker(path=str(picture), row=3, column=4)
    assert parse_trigger(f"image:{picture}@3,4") == expected


def test_the_last_at_sign_ends_the_file_of_a_blend(picture):
    assert parse_trigger(f"blend:{picture}@0.25") == Blend(path=str(picture), alpha=0.25)


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("grid:8@1,2", Grid(size=8, row=1, column=2, seed=0)),
        ("grid:8@1,2:5", Grid(size=8, row=1, column=2, seed=5)),
        ("ctrl", Frequency(magnitude=100, window=32)),
        ("ctrl:50", Frequency(magnitude=50, window=32)),
        ("ctrl:1e2@16", Frequency(magnitude=100, window=16)),
        ("warp:2", Warp(strength=2, grid=4, seed=0)),
        ("warp:.5@8", Warp(strength=0.5, grid=8, seed=0)),
        ("warp:0.5:3", Warp(strength=0.5, grid=4, seed=3)),
        ("warp:0.5@8:3", Warp(strength=0.5, grid=8, seed=3)),
    ],
)
def test_what_is_left_out_has_its_default(text, trigger):
    assert parse_trigger(text) == trigger


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        ("random", {}),
        ("random(0.25-0.75)", {"low": 0.25, "high": 0.75}),
        ("random(.1-9e-1,7)", {"low": 0.1, "high": 0.9, "seed": 7}),
        ("random(1e-05-1)", {"low": 1e-05, "high": 1.0}),
    ],
)
def test_a_place_may_be_random(place, settings):
    patch = Patch(height=2, width=3, colour=(255, 0, 0))
    assert parse_trigger(f"patch:2x3@{place}:red") == Scattered(rectangle=patch, **settings)


def test_a_grid_at_a_random_place_has_two_seeds():
    expected = Scattered(rectangle=Grid(size=4, row=0, column=0, seed=2), seed=1)
    assert parse_trigger("grid:4@random(0-1,1):2") == expected


def test_a_sticker_may_be_at_a_random_place(picture):
    expected = Scattered(rectangle=Sticker(path=str(picture), row=0, column=0))
    assert parse_trigger(f"image:{picture}@random") == expected


@pytest.mark.parametrize(
    "text",
    [
        "patch:",
        "patch:10",
        "patch:10@21",
        "patch:-1@0,0",
        "patch:1.5@0,0",
        "patch:10@21,21,21",
        "patch:10@21,21:",
        "patch:x3@0,0",
        "npz:",
        "image:logo.png",
        "image:logo.png@1",
        "image:@1,1",
        "blend:logo.png",
        "blend:logo.png@",
        "blend:logo.png@half",
        "blend:logo.png@1e",
        "patch:10@random()",
        "patch:10@random(0.5)",
        "patch:10@random(0.25-0.75",
        "patch:10@random(0.25-0.75,-1)",
        "patch:10@random:",
        "grid:4x4@0,0",
        "grid:4@0,0:red",
        "ctrl:",
        "ctrl:loud",
        "ctrl:100@",
        "ctrl:-1",
        "warp:",
        "warp:0.5@4:",
        "warp:0.5:3@4",
        "filter:",
    ],
)
def test_a_malformed_text_shows_the_right_spelling(text):
    kind = TRIGGERS[text.partition(":")[0]]
    with pytest.raises(InputError) as caught:
        parse_trigger(text)
    assert kind.spelling in str(caught.value)


@pytest.mark.parametrize("text", ["", "badge:1@0,0", "ctrl100", "10@21,21", "PATCH:1@0,0"])
def test_an_unknown_kind_lists_all_spellings(text):
    with pytest.raises(InputError) as caught:
        parse_trigger(text)
    assert all(kind.spelling in str(caught.value) for kind in TRIGGERS.values())


@pytest.mark.parametrize("text", ["npz:gone.npz", "image:gone.png@0,0", "blend:gone.png@0.2"])
def test_a_missing_file_is_named(text):
    with pytest.raises(InputError, match=r"no file 'gone\.\w+'"):
        parse_trigger(text)


def _almost_triggers():
    """Texts that start well, and often end well too."""
    text = st.text("0123456789x@,:#.-e", max_size=12)
    place = st.sampled_from(["", "@random", "@random(.2-.7", "@random(.2-.7,1)"])
    parts = st.sampled_from(sorted(TRIGGERS)), text, place, text
    return st.tuples(*parts).map(lambda parts: "{}:{}{}{}".format(*parts))


@given(st.text(max_size=30) | _almost_triggers())
def test_any_text_gives_a_trigger_or_an_input_error(text):
    try:
        trigger = parse_trigger(text)
    except InputError:
        return
    assert parse_trigger(trigger.spelling) == trigger


@pytest.mark.parametrize("kind", sorted(TRIGGERS))
def test_every_example_is_of_its_kind(kind):
    assert TRIGGERS[kind].example.startswith(f"{kind}:")
