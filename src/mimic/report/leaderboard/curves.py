"""Curves of a leaderboard: a rate over the share of clean images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mimic.report.figures import percent
from mimic.report.leaderboard.axes import Plot, Span
from mimic.report.leaderboard.data import CONTROL_NAMES, Amount, Measure, Row
from mimic.report.leaderboard.drawing import Box, Drawing, Mark, Point, Stroke, Words, spread

_HUES = 6
_MARGIN = 0.05
"""Of the width, left and right of the first and the last share of images."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A defence or a control: rates by amount of images."""

    name: str
    style: str
    control: bool
    rates: Mapping[str, float]


def curves(
    rows: Sequence[Row],
    amounts: Sequence[Amount],
    measure: Measure,
    span: Span,
    *,
    title: str,
) -> Drawing:
    """A measure over the share of clean images, one line per defence and one across per control.

    Args:
        rows: of one task, probe and scope; those without the measure are left out.
        amounts: shares, two or more, ascending.
        measure: "accuracy" or "attack_success_rate".
        span: of the values.
        title: what is drawn.
    """
    plot = Plot(Box(42.0, 10.0, 272.0, 250.0), span)
    shares = _places([amount for amount in amounts if amount.ratio is not None])
    plot.ticks_below(
        [(share, name.removesuffix(" %")) for name, share in shares.items()], "clean images (%)"
    )
    lines = _lines(rows, measure, shares)
    paths = [
        [(plot.across(shares[name]), plot.height(rate)) for name, rate in line.rates.items()]
        for line in lines
    ]
    _add_names(plot, lines, [path[-1] for path in paths])
    for line, path in zip(lines, paths, strict=True):
        plot.strokes.append(Stroke(points=tuple(path), style=f"curve {line.style}"))
        plot.marks += [
            Mark(
                place=place,
                shape="circle",
                style=f"mark small {line.style}",
                title=f"{line.name}, {name}: {percent(rate)}",
            )
            for place, (name, rate) in zip(path, line.rates.items(), strict=True)
            if not line.control
        ]
    told = "; ".join(
        f"{line.name} "
        + ", ".join(f"{percent(rate)} at {name}" for name, rate in line.rates.items())
        for line in lines
    )
    return plot.finished(width=400.0, height=294.0, description=f"{title}: {told}.")


def _places(amounts: Sequence[Amount]) -> dict[str, float]:
    """Shares of the width by name of the amount, on a logarithmic axis."""
    logs = {amount.name: math.log(amount.ratio or 1.0) for amount in amounts}
    low, high = min(logs.values()), max(logs.values())
    return {n: _MARGIN + (1 - 2 * _MARGIN) * (v - low) / (high - low) for n, v in logs.items()}


def _lines(rows: Sequence[Row], measure: Measure, shares: Mapping[str, float]) -> list[_Line]:
    """What has two shares of images or more."""
    found: dict[tuple[bool, str], dict[str, float]] = {}
    for row in rows:
        estimate = getattr(row, measure)
        if estimate is not None and row.view.amount in shares:
            found.setdefault((row.control, row.label), {})[row.view.amount] = estimate.mean
    drawn = {entry: rates for entry, rates in found.items() if len(rates) > 1}
    hues = {label: n for n, label in enumerate(label for control, label in drawn if not control)}
    return [
        _Line(
            name=CONTROL_NAMES[label] if control else label,
            style=f"{label} dashed" if control else _hue(hues[label]),
            control=control,
            rates={name: rates[name] for name in shares if name in rates},
        )
        for (control, label), rates in drawn.items()
    ]


def _hue(number: int) -> str:
    """Colours come back dashed once they are used up."""
    return f"hue{number % _HUES}" + " dashed" * (number // _HUES % 2)


def _add_names(plot: Plot, lines: Sequence[_Line], ends: Sequence[Point]) -> None:
    """Names right of the frame, each tied to the end of its line."""
    frame = plot.frame
    heights = spread([y for _, y in ends], gap=13.5, low=frame.top + 4, high=frame.bottom)
    for line, end, height in zip(lines, ends, heights, strict=True):
        plot.strokes.append(Stroke(points=(end, (frame.right + 8, height)), style="leader"))
        place = (frame.right + 11, height + 4)
        plot.words.append(Words(place=place, text=line.name, style=f"label {line.style}"))
