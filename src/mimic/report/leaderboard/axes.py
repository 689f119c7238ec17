"""Axes of rates: what they span, their round values, and the frame that figures are drawn in."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mimic.report.leaderboard.drawing import Box, Drawing, Mark, Stroke, Words


@dataclass(frozen=True, kw_only=True)
class Span:
    """What an axis of rates shows, in [0, 1]."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Where a value is: 0 at the low end, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values, at most seven of them."""
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if (self.high - self.low) / s <= 6.001)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [step * index for index in range(first, last + 1)]


def span_of(values: Iterable[float]) -> Span:
    """Multiples of 5 % around all values, of which there is at least one."""
    known = list(values)
    low = max(0.0, math.floor(20 * min(known) - 0.2) / 20)
    high = min(1.0, math.ceil(20 * max(known) + 0.2) / 20)
    return Span(low=low, high=high)


@dataclass
class Plot:
    """A figure that is being drawn: an upright axis of rates, the frame, and shapes so far.

    Attributes:
        frame: what the axes enclose.
        span: of the upright axis.
        strokes, marks, words: shapes in the order of drawing.
    """

    frame: Box
    span: Span
    strokes: list[Stroke] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)

    def __post_init__(self) -> None:
        frame = self.frame
        for tick in self.span.ticks():
            y = self.height(tick)
            self.strokes.append(Stroke(points=((frame.left, y), (frame.right, y)), style="grid"))
            text = f"{100 * tick:.0f}"
            self.words.append(Words(place=(frame.left - 6, y + 4), text=text, anchor="end"))
        corner = ((frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom))
        self.strokes.append(Stroke(points=corner, style="axis"))

    def height(self, rate: float) -> float:
        """Where a rate is on the upright axis."""
        return self.frame.bottom - (self.frame.bottom - self.frame.top) * self.span.share(rate)

    def across(self, share: float) -> float:
        """Where a share of the width is, 0 at the left end and 1 at the right one."""
        return self.frame.left + (self.frame.right - self.frame.left) * share

    def ticks_below(self, ticks: Sequence[tuple[float, str]], label: str) -> None:
        """The level axis: shares of the width with their words, a grid line each, and its label."""
        top, bottom = self.frame.top, self.frame.bottom
        for share, text in ticks:
            x = self.across(share)
            self.strokes.append(Stroke(points=((x, top), (x, bottom)), style="grid"))
            self.words.append(Words(place=(x, bottom + 17), text=text, anchor="middle"))
        middle = (self.across(0.5), bottom + 37)
        self.words.append(Words(place=middle, text=label, anchor="middle"))

    def finished(self, *, width: float, height: float, description: str) -> Drawing:
        """The drawing."""
        return Drawing(
            width=width,
            height=height,
            description=description,
            strokes=tuple(self.strokes),
            marks=tuple(self.marks),
            words=tuple(self.words),
        )
