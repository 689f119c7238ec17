"""Triggers by their spelling, as `--trigger` takes them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mimic.attacks.triggers.patch import COLOURS, Patch, parse_colour
from mimic.attacks.triggers.pattern import Pattern
from mimic.attacks.triggers.picture import Blend, Sticker
from mimic.attacks.triggers.trigger import Trigger
from mimic.errors import InputError

_PLACE = r"@([0-9]{1,6}),([0-9]{1,6})"
_PATCH = re.compile(rf"([0-9]{{1,6}})(?:x([0-9]{{1,6}}))?{_PLACE}(?::(.+))?")
_STICKER = re.compile(rf"(.+){_PLACE}", re.DOTALL)
_BLEND = re.compile(r"(.+)@([0-9.eE+-]+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class TriggerKind:
    """How a kind of trigger is written.

    Attributes:
        spelling: the pattern to write, for help and errors.
        example: a text that is understood.
        summary: one line for lists.
        parse: takes what follows `KIND:`; gives None where it does not understand the text.
    """

    spelling: str
    example: str
    summary: str
    parse: Callable[[str], Trigger | None]


def _parse_patch(text: str) -> Trigger | None:
    match = _PATCH.fullmatch(text)
    if match is None:
        return None
    height, width, row, column, colour = match.groups()
    values = parse_colour(colour or "white")
    if values is None:
        raise InputError(
            f"colour '{colour}' of trigger 'patch:{text}' is unknown; "
            f"write #rrggbb or one of {', '.join(COLOURS)}"
        )
    return Patch(
        height=int(height),
        width=int(width or height),
        row=int(row),
        column=int(column),
        colour=values,
    )


def _parse_pattern(text: str) -> Trigger | None:
    return Pattern(path=text) if text else None


def _parse_sticker(text: str) -> Trigger | None:
    match = _STICKER.fullmatch(text)
    if match is None:
        return None
    path, row, column = match.groups()
    return Sticker(path=path, row=int(row), column=int(column))


def _parse_blend(text: str) -> Trigger | None:
    match = _BLEND.fullmatch(text)
    if match is None:
        return None
    try:
        alpha = float(match[2])
    except ValueError:
        return None
    return Blend(path=match[1], alpha=alpha)


TRIGGERS: dict[str, TriggerKind] = {
    "patch": TriggerKind(
        spelling="patch:SIZE@ROW,COL[:COLOUR]",
        example="patch:10@21,21:white",
        summary="a rectangle of one colour; SIZE is pixels or HEIGHTxWIDTH",
        parse=_parse_patch,
    ),
    "npz": TriggerKind(
        spelling="npz:FILE",
        example="npz:trigger.npz",
        summary="a mask 'tm' and a pattern 't' as BadEncoder stores them",
        parse=_parse_pattern,
    ),
    "image": TriggerKind(
        spelling="image:FILE@ROW,COL",
        example="image:logo.png@0,0",
        summary="a picture pasted opaquely at its own size",
        parse=_parse_sticker,
    ),
    "blend": TriggerKind(
        spelling="blend:FILE@ALPHA",
        example="blend:cat.png@0.2",
        summary="a picture blended into the whole image; ALPHA is its share",
        parse=_parse_blend,
    ),
}


def parse_trigger(text: str) -> Trigger:
    """The trigger that `text` spells; the spellings are in `TRIGGERS`.

    Rows and columns count from 0 and name the top left pixel.

    Raises:
        InputError: the text is not understood, or the file it names is missing or unfit.
    """
    kind, _, rest = text.partition(":")
    if kind not in TRIGGERS:
        raise InputError(
            f"trigger '{text}' is of an unknown kind; "
            f"write {', '.join(known.spelling for known in TRIGGERS.values())}"
        )
    trigger = TRIGGERS[kind].parse(rest)
    if trigger is None:
        known = TRIGGERS[kind]
        raise InputError(
            f"trigger '{text}' is not understood; write {known.spelling}, "
            f"for example {known.example}"
        )
    return trigger
