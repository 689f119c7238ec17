"""The figure of docs/results.md: accuracy kept against attack success left, one point per run."""

from cards import CLEAN, Found, Row
from drawing import FAINT, INK, Canvas, Point

_LEFT, _TOP, _WIDTH, _HEIGHT = 70.0, 40.0, 470.0, 330.0
_COLOURS = ("#1b9e77", "#d95f02", "#3182bd", "#7570b3", "#b3861b", "#b5679b", "#5f6b73")
_SHAPES = ("circle", "square", "diamond", "triangle")


def scatter_figure(found: Found) -> str:
    """The figure as SVG text."""
    rows = [*found.encoders.values(), *found.methods]
    accuracies = [value for row in rows for value in row.values["GTSRB accuracy"]]
    lowest = max(0.0, int(20 * min(accuracies) - 1) / 20)
    highest = min(1.0, int(20 * max(accuracies) + 1.999) / 20)

    def place(success: float, accuracy: float) -> Point:
        share = (accuracy - lowest) / (highest - lowest)
        return _LEFT + _WIDTH * success, _TOP + _HEIGHT * (1 - share)

    told = "; ".join(f"{row.name} {_told(row)}" for row in rows)
    canvas = Canvas(860, 440, f"GTSRB accuracy and attack success rate by encoder: {told}.")
    _axes(canvas, lowest, highest)
    if CLEAN in found.encoders:
        values = found.encoders[CLEAN].values
        corner = place(values["attack success"][0], values["GTSRB accuracy"][0])
        canvas.path([(corner[0], _TOP), (corner[0], _TOP + _HEIGHT)], line=FAINT, dash="5 4")
        canvas.path([(_LEFT, corner[1]), (_LEFT + _WIDTH, corner[1])], line=FAINT, dash="5 4")
    for index, row in enumerate(rows):
        style = {
            "shape": _SHAPES[index % len(_SHAPES)],
            "fill": _COLOURS[index % len(_COLOURS)],
        }
        points = zip(row.values["attack success"], row.values["GTSRB accuracy"], strict=True)
        for success, accuracy in points:
            canvas.mark(place(success, accuracy), **style)
        canvas.mark((578, 56 + 26 * index), **style)
        canvas.text((592, 60.5 + 26 * index), row.name)
    if CLEAN in found.encoders:
        canvas.text(
            (570, 70 + 26 * len(rows)), "dashed: the clean encoder; its corner\nis the goal",
            size=12, fill=FAINT,
        )  # fmt: skip
    return canvas.svg()


def _axes(canvas: Canvas, lowest: float, highest: float) -> None:
    canvas.box((_LEFT, _TOP), (_WIDTH, _HEIGHT), line=INK)
    for percent in range(0, 101, 20):
        x = _LEFT + _WIDTH * percent / 100
        canvas.path([(x, _TOP + _HEIGHT), (x, _TOP + _HEIGHT + 5)])
        canvas.text((x, _TOP + _HEIGHT + 20), str(percent), anchor="middle", size=12)
    for percent in range(round(100 * lowest), round(100 * highest) + 1, 5):
        share = (percent / 100 - lowest) / (highest - lowest)
        y = _TOP + _HEIGHT * (1 - share)
        canvas.path([(_LEFT - 5, y), (_LEFT, y)])
        canvas.text((_LEFT - 9, y + 4), str(percent), anchor="end", size=12)
    middle = (_LEFT + _WIDTH / 2, _TOP + _HEIGHT / 2)
    canvas.text((middle[0], _TOP + _HEIGHT + 44), "attack success rate (%)", anchor="middle")
    canvas.text((24, middle[1]), "GTSRB accuracy (%)", anchor="middle", turned=True)


def _told(row: Row) -> str:
    points = zip(row.values["GTSRB accuracy"], row.values["attack success"], strict=True)
    return ", ".join(f"{100 * a:.1f} % and {100 * s:.1f} %" for a, s in points)
