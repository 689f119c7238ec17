"""Drawings of a leaderboard as plain shapes; the template writes them as SVG and escapes the words.

Colours are classes, so that the page's style decides them, for light and for dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

FONT = 12.0
"""Height of the letters, in the unit of the drawing: nearly a pixel on a phone."""
_LETTER = 0.56
"""Mean width of a letter in its height: rather too wide than too narrow."""
_LINE = 1.15

SHAPES = {
    "circle": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "square": "M-4-4h8v8h-8z",
    "diamond": "M0-5.6L5.6 0L0 5.6L-5.6 0z",
    "cross": "M-4.5-4.5L4.5 4.5M-4.5 4.5L4.5-4.5",
    "ring": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0z",
}
"""Marks around the origin, as paths."""


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A line through points.

    Attributes:
        points: two or more.
        style: classes of the page.
    """

    points: tuple[Point, ...]
    style: str


@dataclass(frozen=True, kw_only=True)
class Words:
    """A line of text.

    Attributes:
        place: of its anchor, on the base line.
        text: any.
        anchor: start, middle or end.
        style: classes of the page.
        turned: written upwards.
    """

    place: Point
    text: str
    anchor: str = "start"
    style: str = ""
    turned: bool = False


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point that tells what it is when it is pointed at.

    Attributes:
        place: where.
        shape: a key of `SHAPES`.
        style: classes of the page.
        title: what it is.
    """

    place: Point
    shape: str
    style: str
    title: str

    @property
    def path(self) -> str:
        """The shape around the origin."""
        return SHAPES[self.shape]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure; words lie on top of marks, and marks on top of lines.

    Attributes:
        width, height: its unit is a pixel on a phone.
        description: what it shows, for those who do not see it.
        strokes, marks, words: its shapes.
    """

    width: float
    height: float
    description: str
    strokes: tuple[Stroke, ...] = ()
    marks: tuple[Mark, ...] = ()
    words: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Box:
    """A rectangle from its top left to its bottom right corner."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether both have an inner point in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def nearest(self, point: Point) -> Point:
        """The place in it that is nearest to a point."""
        x, y = point
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)

    def within(self, other: "Box") -> bool:
        """Whether no part is outside of the other."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass
class Labels:
    """Places labels beside points so that nothing covers anything.

    Attributes:
        frame: what labels stay within.
        points: what neither labels nor lines to them may cover.
        words: labels placed so far.
        lines: steps along the lines placed so far.
    """

    frame: Box
    points: list[Box] = field(default_factory=list)
    words: list[Box] = field(default_factory=list)
    lines: list[Box] = field(default_factory=list)

    def avoid(self, points: Sequence[Point], radius: float = 5.0) -> None:
        """Keep these points free."""
        self.points += [_around(point, radius) for point in points]

    def place(self, point: Point, text: str, style: str) -> tuple[list[Words], list[Stroke]]:
        """The label of a point, near it where there is room, else further off and with a line.

        Where there is no room at all there is no label.
        """
        width, height = len(text) * _LETTER * FONT, _LINE * FONT
        for distance in _DISTANCES:
            for dx, dy in _DIRECTIONS:
                x, y = point[0] + dx * distance, point[1] + dy * distance
                anchor, before = _anchor(dx)
                left = x - before * width
                box = Box(left, y - height / 2, left + width, y + height / 2)
                end = box.nearest(point)
                line = _steps(point, end) if distance > _DISTANCES[0] else []
                if not self._is_free(box, line, point):
                    continue
                self.words.append(box)
                self.lines += line
                words = Words(place=(x, y + 0.35 * FONT), text=text, anchor=anchor, style=style)
                leader = Stroke(points=(point, end), style="leader")
                return [words], [leader] if line else []
        return [], []

    def _is_free(self, box: Box, line: Sequence[Box], point: Point) -> bool:
        """Whether a label and the line to it cover nothing but the label's own point."""
        own = _around(point, 0.5)
        others = [*self.words, *(one for one in self.points if not one.meets(own))]
        return (
            box.within(self.frame)
            and not any(box.meets(one) for one in (*self.points, *self.words, *self.lines))
            and not any(step.meets(one) for step in line for one in others)
        )


_DISTANCES = (8.0, 18.0, 30.0, 44.0, 60.0, 80.0)
_DIRECTIONS: tuple[Point, ...] = (
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, -1.2),
    (0.0, 1.2),
    (0.8, -0.8),
    (0.8, 0.8),
    (-0.8, -0.8),
    (-0.8, 0.8),
    (0.9, -0.4),
    (0.9, 0.4),
    (-0.9, -0.4),
    (-0.9, 0.4),
)


def _anchor(dx: float) -> tuple[str, float]:
    """How a label in this direction is anchored, and the share of it left of its anchor."""
    if abs(dx) < 0.1:
        return "middle", 0.5
    return ("start", 0.0) if dx > 0 else ("end", 1.0)


def _around(point: Point, radius: float) -> Box:
    x, y = point
    return Box(x - radius, y - radius, x + radius, y + radius)


def _steps(start: Point, end: Point) -> list[Box]:
    """Small boxes along a line, its very ends left out."""
    shares = [step / 12 for step in range(1, 12)]
    return [
        _around((start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])), 0.6)
        for t in shares
    ]


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Heights near the wanted ones, in the same order, at least `gap` apart where there is room.

    Args:
        wanted: in any order.
        gap: smallest distance between two.
        low, high: bounds of all.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    found = dict.fromkeys(order, low)
    floor = low
    for index in order:
        found[index] = max(wanted[index], floor)
        floor = found[index] + gap
    ceiling = high
    for index in reversed(order):
        found[index] = min(found[index], ceiling)
        ceiling = found[index] - gap
    return [found[index] for index in range(len(wanted))]
