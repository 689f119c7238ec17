"""The figure of docs/method.md: what students learn by epoch, and what of it shows without labels.

Four panels, a line per student. Above, what only who knows labels and trigger can measure: what it
knows of the task, and what it has taken of the backdoor; dashed are the attacked and the clean
encoder, judged in the same way. Below, what a verification sees; dashed are its thresholds.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawing import FAINT, INK, Canvas, Point

from mimic.verification.rule import CLOSED, KEPT, LOST, OPEN

_STUDENTS = {
    "mimic": ("the default", "#1b9e77", "circle"),
    "mimic-no-search": ("random patches only", "#7570b3", "diamond"),
    "mimic-no-change": ("sees what the teacher sees", "#d95f02", "square"),
}
_AIMED, _WIDTH, _HEIGHT = "gtsrb", 330.0, 300.0
_LEFT, _RIGHT, _UPPER, _LOWER = 70.0, 480.0, 60.0, 460.0
_RATES = ("accuracy", "attack_success_rate")


@dataclass(frozen=True)
class _Axes:
    """A panel: its corner, its title, the largest share, and which share of a point it shows."""

    corner: Point
    title: str
    highest: float
    share: Callable[[Mapping[str, Any]], float]


_KNOWN = (
    _Axes((_LEFT, _UPPER), "GTSRB accuracy (%)", 0.4, lambda p: float(p[_AIMED]["accuracy"])),
    _Axes(
        (_RIGHT, _UPPER),
        "attack success rate (%)",
        1.0,
        lambda p: float(p[_AIMED]["attack_success_rate"]),
    ),
)
_SEEN = {
    _Axes(
        (_LEFT, _LOWER),
        "nearest neighbours kept (%)",
        1.0,
        lambda p: float(p["mutual_neighbours"]),
    ): (LOST, KEPT),
    _Axes((_RIGHT, _LOWER), "old doors still open (%)", 1.0, lambda p: float(p["residue"])): (
        CLOSED,
        OPEN,
    ),
}


def curves_figure(folder: Path, zoo: Path) -> str | None:
    """The figure as SVG text; None where no student was watched.

    Args:
        folder: that `benchmarks/curves.py` wrote.
        zoo: the folder of the encoders' cards.
    """
    files = {name: folder / f"{name}.json" for name in _STUDENTS}
    runs = {name: _read(path) for name, path in files.items() if path.exists()}
    if not runs:
        return None
    told = "; ".join(f"{_STUDENTS[name][0]}: {_told(run)}" for name, run in runs.items())
    canvas = Canvas(1080, 830, f"What students learn by epoch. {told}.")
    member = next(iter(runs.values()))["member"]
    known = [_read(zoo / f"{name}.json")["neighbours"] for name in ("small-clean", member)]
    levels = {axes: tuple(axes.share(card) for card in known) for axes in _KNOWN} | _SEEN
    epochs = max(run["points"][-1]["epoch"] for run in runs.values())
    for axes, dashed in levels.items():
        panel = _Panel(canvas, axes, epochs)
        for share in dashed:
            panel.level(share)
        for name, run in runs.items():
            panel.curve(run["points"], *_STUDENTS[name][1:])
    for row, name in enumerate(runs):
        label, colour, shape = _STUDENTS[name]
        canvas.mark((860, 76 + 26 * row), shape=shape, fill=colour)
        canvas.text((874, 80.5 + 26 * row), label)
    below = 80.5 + 26 * len(runs)
    canvas.text((851, below), "dashed: attacked and clean encoder", size=12, fill=FAINT)
    canvas.text((851, _LOWER + 16), "needs neither labels nor the trigger;", size=12, fill=FAINT)
    canvas.text((851, _LOWER + 34), "dashed: thresholds of the verdict", size=12, fill=FAINT)
    return canvas.svg()


class _Panel:
    """Axes with a share over epochs."""

    def __init__(self, canvas: Canvas, axes: _Axes, epochs: int) -> None:
        self.canvas, self.axes, self.epochs = canvas, axes, epochs
        left, top = axes.corner
        canvas.box((left, top), (_WIDTH, _HEIGHT), line=INK)
        canvas.text((left + _WIDTH / 2, top - 18), axes.title, anchor="middle", bold=True)
        for step in range(6):
            x, y = self.place(epochs * step / 5, axes.highest * step / 5)
            canvas.text((x, top + _HEIGHT + 20), f"{epochs * step / 5:g}", anchor="middle", size=12)
            canvas.text((left - 9, y + 4), f"{20 * axes.highest * step:g}", anchor="end", size=12)
        canvas.text((left + _WIDTH / 2, top + _HEIGHT + 44), "epoch", anchor="middle")

    def place(self, epoch: float, share: float) -> Point:
        """Where a share after an epoch lies; less than nothing is drawn as nothing."""
        left, top = self.axes.corner
        height = top + _HEIGHT * (1 - max(share, 0.0) / self.axes.highest)
        return left + _WIDTH * epoch / self.epochs, height

    def level(self, share: float) -> None:
        """What an encoder has that is not trained here, or a threshold."""
        left, _ = self.axes.corner
        _, y = self.place(0, share)
        self.canvas.path([(left, y), (left + _WIDTH, y)], line=FAINT, dash="5 4")

    def curve(self, points: list[dict[str, Any]], colour: str, shape: str) -> None:
        """A student."""
        places = [self.place(point["epoch"], self.axes.share(point)) for point in points]
        self.canvas.path(places, line=colour)
        for place in places:
            self.canvas.mark(place, shape=shape, fill=colour, radius=4)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _told(run: Mapping[str, Any]) -> str:
    last = run["points"][-1]
    accuracy, success = (100 * last[_AIMED][rate] for rate in _RATES)
    return f"{accuracy:.1f} % and {success:.1f} % after {last['epoch']} epochs"
