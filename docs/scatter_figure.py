"""The figure of docs/results.md: accuracy kept against attack success left, one point per run.

Two panels: with a head of each encoder's own, and with the head of the attacked encoder kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cards import CLEAN, Found, Row
from drawing import FAINT, INK, Canvas, Point

_TOP, _WIDTH, _HEIGHT = 60.0, 330.0, 330.0
_COLOURS = ("#1b9e77", "#d95f02", "#3182bd", "#7570b3", "#b3861b", "#b5679b", "#5f6b73")
_SHAPES = ("circle", "square", "diamond", "triangle")
_LEGEND = 860.0


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """A square of axes.

    Attributes:
        left: of the axes, in pixels.
        title: above it.
        prefix: of the two columns that it shows.
        lowest, highest: accuracies at its lower and upper edge.
    """

    left: float
    title: str
    prefix: str
    lowest: float
    highest: float

    def place(self, success: float, accuracy: float) -> Point:
        share = (accuracy - self.lowest) / (self.highest - self.lowest)
        return self.left + _WIDTH * success, _TOP + _HEIGHT * (1 - share)

    def points(self, row: Row) -> list[Point]:
        """Where the runs of a row lie; none for an encoder that was not measured this way."""
        columns = (f"{self.prefix}attack success", f"{self.prefix}GTSRB accuracy")
        if columns[0] not in row.values:
            return []
        pairs = zip(*(row.values[column] for column in columns), strict=True)
        return [self.place(success, accuracy) for success, accuracy in pairs]


def scatter_figure(found: Found) -> str:
    """The figure as SVG text."""
    rows = [*found.encoders.values(), *found.methods]
    told = "; ".join(f"{row.name} {_told(row)}" for row in rows)
    canvas = Canvas(1090, 450, f"GTSRB accuracy and attack success rate by encoder: {told}.")
    panels = [_panel(70.0, "a new head for each encoder", "", rows)]
    if found.methods:
        panels.append(_panel(480.0, "the head of the attacked encoder", "old head, ", rows))
    for panel in panels:
        _axes(canvas, panel)
    if CLEAN in found.encoders:
        _corner(canvas, panels[0], found.encoders[CLEAN])
    for index, row in enumerate(rows):
        shape, fill = _SHAPES[index % len(_SHAPES)], _COLOURS[index % len(_COLOURS)]
        for point in (point for panel in panels for point in panel.points(row)):
            canvas.mark(point, shape=shape, fill=fill)
        canvas.mark((_LEGEND, 76 + 26 * index), shape=shape, fill=fill)
        canvas.text((_LEGEND + 14, 80.5 + 26 * index), row.name)
    return canvas.svg()


def _panel(left: float, title: str, prefix: str, rows: Sequence[Row]) -> _Panel:
    column = f"{prefix}GTSRB accuracy"
    accuracies = [value for row in rows for value in row.values.get(column, ())]
    return _Panel(
        left=left,
        title=title,
        prefix=prefix,
        lowest=max(0.0, int(20 * min(accuracies) - 1) / 20),
        highest=min(1.0, int(20 * max(accuracies) + 1.999) / 20),
    )


def _corner(canvas: Canvas, panel: _Panel, clean: Row) -> None:
    x, y = panel.points(clean)[0]
    canvas.path([(x, _TOP), (x, _TOP + _HEIGHT)], line=FAINT, dash="5 4")
    canvas.path([(panel.left, y), (panel.left + _WIDTH, y)], line=FAINT, dash="5 4")
    canvas.text(
        (panel.left + _WIDTH - 6, y - 8), "dashed: the clean encoder", anchor="end", size=12,
        fill=FAINT,
    )  # fmt: skip


def _axes(canvas: Canvas, panel: _Panel) -> None:
    left = panel.left
    canvas.box((left, _TOP), (_WIDTH, _HEIGHT), line=INK)
    canvas.text((left + _WIDTH / 2, _TOP - 18), panel.title, anchor="middle", bold=True)
    for percent in range(0, 101, 20):
        x = left + _WIDTH * percent / 100
        canvas.path([(x, _TOP + _HEIGHT), (x, _TOP + _HEIGHT + 5)])
        canvas.text((x, _TOP + _HEIGHT + 20), str(percent), anchor="middle", size=12)
    step = 5 if panel.highest - panel.lowest < 0.3 else 10
    for percent in range(round(100 * panel.lowest), round(100 * panel.highest) + 1, step):
        _, y = panel.place(0, percent / 100)
        canvas.path([(left - 5, y), (left, y)])
        canvas.text((left - 9, y + 4), str(percent), anchor="end", size=12)
    below = (left + _WIDTH / 2, _TOP + _HEIGHT + 44)
    canvas.text(below, "attack success rate (%)", anchor="middle")
    canvas.text((left - 46, _TOP + _HEIGHT / 2), "GTSRB accuracy (%)", anchor="middle", turned=True)


def _told(row: Row) -> str:
    points = zip(row.values["GTSRB accuracy"], row.values["attack success"], strict=True)
    return ", ".join(f"{100 * a:.1f} % and {100 * s:.1f} %" for a, s in points)
