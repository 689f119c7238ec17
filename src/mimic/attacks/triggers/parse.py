"""Triggers by their spelling, as `--trigger` takes them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mimic.attacks.triggers.colour_filter import FILTERS, ColourFilter
from mimic.attacks.triggers.frequency import Frequency
from mimic.attacks.triggers.generator import load_generator
from mimic.attacks.triggers.grid import Grid
from mimic.attacks.triggers.patch import COLOURS, Patch, parse_colour
from mimic.attacks.triggers.pattern import Pattern
from mimic.attacks.triggers.picture import Blend, Sticker
from mimic.attacks.triggers.placement import Rectangle, Scattered
from mimic.attacks.triggers.trigger import Trigger
from mimic.attacks.triggers.warp import Warp
from mimic.errors import InputError

_PIXELS = "[0-9]{1,6}"
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_SEED = "[0-9]{1,19}"
_RANDOM = rf"random(?:\((?P<low>{_NUMBER})-(?P<high>{_NUMBER})(?:,(?P<place_seed>{_SEED}))?\))?"
_PLACE = rf"@(?:(?P<row>{_PIXELS}),(?P<column>{_PIXELS})|{_RANDOM})"


@dataclass(frozen=True, kw_only=True)
class TriggerKind:
    """How a kind of trigger is written.

    Attributes:
        spelling: the pattern to write, for help and errors.
        example: a text that is understood.
        summary: one line for lists.
        syntax: regular expression of the whole text, its groups named after settings.
        make: the trigger of a match.
    """

    spelling: str
    example: str
    summary: str
    syntax: str
    make: Callable[[re.Match[str]], Trigger]


def _settings(found: re.Match[str], **types: Callable[[str], Any]) -> dict[str, Any]:
    """The groups of these names, as settings; what was left out is missing and has its default."""
    return {name: read(found[name]) for name, read in types.items() if found[name] is not None}


def _placed(found: re.Match[str], make: Callable[..., Rectangle]) -> Trigger:
    if found["row"] is not None:
        return make(row=int(found["row"]), column=int(found["column"]))
    return Scattered(
        rectangle=make(row=0, column=0),
        seed=int(found["place_seed"] or 0),
        **_settings(found, low=float, high=float),
    )


def _patch(found: re.Match[str]) -> Trigger:
    colour = parse_colour(found["colour"] or "white")
    if colour is None:
        raise InputError(
            f"colour '{found['colour']}' of trigger '{found[0]}' is unknown; "
            f"write #rrggbb or one of {', '.join(COLOURS)}"
        )
    height, width = int(found["height"]), int(found["width"] or found["height"])
    return _placed(found, partial(Patch, height=height, width=width, colour=colour))


def _sticker(found: re.Match[str]) -> Trigger:
    return _placed(found, partial(Sticker, path=found["path"]))


def _grid(found: re.Match[str]) -> Trigger:
    return _placed(found, partial(Grid, **_settings(found, size=int, seed=int)))


TRIGGERS: dict[str, TriggerKind] = {
    "patch": TriggerKind(
        spelling="patch:SIZE@ROW,COL[:COLOUR]",
        example="patch:10@21,21:white",
        summary="a rectangle of one colour; SIZE is pixels or HEIGHTxWIDTH",
        syntax=rf"patch:(?P<height>{_PIXELS})(?:x(?P<width>{_PIXELS}))?{_PLACE}(?::(?P<colour>.+))?",
        make=_patch,
    ),
    "npz": TriggerKind(
        spelling="npz:FILE",
        example="npz:trigger.npz",
        summary="a mask 'tm' and a pattern 't' as BadEncoder stores them",
        syntax="npz:(?P<path>.+)",
        make=lambda found: Pattern(path=found["path"]),
    ),
    "image": TriggerKind(
        spelling="image:FILE@ROW,COL",
        example="image:logo.png@0,0",
        summary="a picture pasted opaquely at its own size",
        syntax=rf"image:(?P<path>.+){_PLACE}",
        make=_sticker,
    ),
    "grid": TriggerKind(
        spelling="grid:SIZE@ROW,COL[:SEED]",
        example="grid:8@12,12:1",
        summary="a square of blurred random colours, as in SSL-Backdoor",
        syntax=rf"grid:(?P<size>{_PIXELS}){_PLACE}(?::(?P<seed>{_SEED}))?",
        make=_grid,
    ),
    "blend": TriggerKind(
        spelling="blend:FILE@ALPHA",
        example="blend:cat.png@0.2",
        summary="a picture blended into the whole image; ALPHA is its share",
        syntax=rf"blend:(?P<path>.+)@(?P<alpha>{_NUMBER})",
        make=lambda found: Blend(path=found["path"], alpha=float(found["alpha"])),
    ),
    "ctrl": TriggerKind(
        spelling="ctrl[:MAGNITUDE[@WINDOW]]",
        example="ctrl:100",
        summary="two frequencies of the colours made louder, as in CTRL",
        syntax=rf"ctrl(?::(?P<magnitude>{_NUMBER})(?:@(?P<window>{_PIXELS}))?)?",
        make=lambda found: Frequency(**_settings(found, magnitude=float, window=int)),
    ),
    "warp": TriggerKind(
        spelling="warp:STRENGTH[@GRID][:SEED]",
        example="warp:0.5@4:1",
        summary="a smooth random field that bends the image, as in WaNet",
        syntax=rf"warp:(?P<strength>{_NUMBER})(?:@(?P<grid>{_PIXELS}))?(?::(?P<seed>{_SEED}))?",
        make=lambda found: Warp(**_settings(found, strength=float, grid=int, seed=int)),
    ),
    "filter": TriggerKind(
        spelling="filter:NAME",
        example="filter:warm",
        summary=f"a map of the colours; NAME is {', '.join(FILTERS)}",
        syntax="filter:(?P<name>.+)",
        make=lambda found: ColourFilter(name=found["name"]),
    ),
    "generator": TriggerKind(
        spelling="generator:FILE",
        example="generator:trigger.safetensors",
        summary="a network that draws the image anew, as attacks that learn it save it",
        syntax="generator:(?P<path>.+)",
        make=lambda found: load_generator(found["path"]),
    ),
}


def parse_trigger(text: str) -> Trigger:
    """The trigger that `text` spells; the spellings are in `TRIGGERS`.

    Rows and columns count from 0 and name the top left pixel. Wherever a spelling says `@ROW,COL`,
    `@random` puts the trigger anywhere, and `@random(LOW-HIGH)` or `@random(LOW-HIGH,SEED)` into a
    part of the image (see `Scattered`).

    Raises:
        InputError: the text is not understood, or the file it names is missing or unfit.
    """
    kind = TRIGGERS.get(text.partition(":")[0])
    if kind is None:
        raise InputError(
            f"trigger '{text}' is of an unknown kind; "
            f"write {', '.join(known.spelling for known in TRIGGERS.values())}"
        )
    found = re.fullmatch(kind.syntax, text, re.DOTALL)
    if found is None:
        raise InputError(
            f"trigger '{text}' is not understood; write {kind.spelling}, for example {kind.example}"
        )
    return kind.make(found)
