"""Scatter of a leaderboard: accuracy kept against attack success left."""

import math
from collections.abc import Mapping, Sequence

from mimic.report.figures import percent
from mimic.report.leaderboard.axes import Plot, Span
from mimic.report.leaderboard.data import CONTROL_NAMES, Row
from mimic.report.leaderboard.drawing import Box, Drawing, Labels, Mark, Point, Stroke, Words

_SHAPES = {"clean": "ring", "suspect": "cross", "ours": "circle", "control": "diamond"}
_TICKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
_FIRST = ("clean", "ours", "suspect", "control")
"""Kinds that get their label before others, so that they surely have one."""


def scatter(rows: Sequence[Row], kinds: Mapping[str, str], span: Span, *, title: str) -> Drawing:
    """Accuracy kept against attack success left; the clean encoder's corner is the goal.

    Args:
        rows: of one view and scope; those without attack success are left out.
        kinds: "ours", "baseline" or "control" by label.
        span: of the accuracies. The axis of the attack success is a root, from 0 to 100 %.
        title: what is drawn.
    """
    plot = Plot(Box(42.0, 10.0, 384.0, 330.0), span)
    plot.ticks_below(
        [(math.sqrt(tick), f"{100 * tick:g}") for tick in _TICKS],
        "attack success left (%), root scale",
    )
    plot.words.append(
        Words(
            place=(11, plot.height((span.low + span.high) / 2)),
            text="accuracy kept (%)",
            anchor="middle",
            turned=True,
        )
    )
    drawn = [
        (row.label if row.control else kinds[row.label], row, (plot.across(math.sqrt(left)), y))
        for row in rows
        if (left := _success(row)) is not None
        for y in [plot.height(row.accuracy.mean)]
    ]
    drawn.sort(key=lambda one: _FIRST.index(one[0]) if one[0] in _FIRST else len(_FIRST))
    for kind, _, place in drawn:
        if kind == "clean":
            _add_goal(plot, place)
    _add_labels(plot, drawn)
    plot.marks += [
        Mark(
            place=place,
            shape=_SHAPES.get(kind, "square"),
            style=f"mark {kind}",
            title=_told(row),
        )
        for kind, row, place in reversed(drawn)
    ]
    told = "; ".join(_told(row) for _, row, _ in drawn)
    return plot.finished(width=400.0, height=374.0, description=f"{title}: {told}.")


def _add_goal(plot: Plot, place: Point) -> None:
    """The corner above and left of the clean encoder."""
    (x, y), left, top = place, plot.frame.left, plot.frame.top
    goal = ((left, top), (x, top), (x, y), (left, y))
    plot.strokes += [Stroke(points=goal, style="goal"), Stroke(points=goal[1:], style="corner")]


def _add_labels(plot: Plot, drawn: Sequence[tuple[str, Row, Point]]) -> None:
    frame = plot.frame
    labels = Labels(Box(frame.left + 2, frame.top, frame.right + 14, frame.bottom))
    labels.avoid([place for _, _, place in drawn])
    for kind, row, place in drawn:
        words, leader = labels.place(place, _name(row), f"label {kind}")
        plot.words += words
        plot.strokes += leader


def _success(row: Row) -> float | None:
    return None if row.attack_success_rate is None else row.attack_success_rate.mean


def _name(row: Row) -> str:
    return CONTROL_NAMES[row.label] if row.control else row.label


def _told(row: Row) -> str:
    success = percent(_success(row) or 0.0)
    return f"{_name(row)}: accuracy {percent(row.accuracy.mean)}, attack success {success}"
