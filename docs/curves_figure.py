"""The figure of docs/method.md: accuracy and attack success of students by epoch.

Two panels, a line per student: what it knows of the task, and what it has taken of the backdoor.
Dashed are the attacked and the clean encoder, judged in the same way.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drawing import FAINT, INK, Canvas, Point

_STUDENTS = {
    "mimic": ("the default", "#1b9e77", "circle"),
    "mimic-no-search": ("random patches only", "#7570b3", "diamond"),
    "mimic-no-change": ("sees what the teacher sees", "#d95f02", "square"),
}
_AIMED, _TOP, _WIDTH, _HEIGHT = "gtsrb", 60.0, 330.0, 300.0
_PANELS = {
    "accuracy": (70.0, "GTSRB accuracy (%)"),
    "attack_success_rate": (480.0, "attack success rate (%)"),
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
    canvas = Canvas(1080, 430, f"Accuracy and attack success rate by epoch. {told}.")
    member = next(iter(runs.values()))["member"]
    known = [_read(zoo / f"{name}.json") for name in ("small-clean", member)]
    for rate, (left, title) in _PANELS.items():
        panel = _Panel(
            canvas, left, title, rate, max(r["points"][-1]["epoch"] for r in runs.values())
        )
        for card in known:
            panel.level(card["neighbours"][_AIMED][rate])
        for name, run in runs.items():
            panel.curve(run["points"], *_STUDENTS[name][1:])
    for row, name in enumerate(runs):
        label, colour, shape = _STUDENTS[name]
        canvas.mark((860, 76 + 26 * row), shape=shape, fill=colour)
        canvas.text((874, 80.5 + 26 * row), label)
    below = 80.5 + 26 * len(runs)
    canvas.text((851, below), "dashed: attacked and clean encoder", size=12, fill=FAINT)
    return canvas.svg()


class _Panel:
    """Axes with a rate over epochs."""

    def __init__(self, canvas: Canvas, left: float, title: str, rate: str, epochs: int) -> None:
        self.canvas, self.left, self.rate, self.epochs = canvas, left, rate, epochs
        self.highest = 0.4 if rate == "accuracy" else 1.0
        canvas.box((left, _TOP), (_WIDTH, _HEIGHT), line=INK)
        canvas.text((left + _WIDTH / 2, _TOP - 18), title, anchor="middle", bold=True)
        for step in range(6):
            x, y = self.place(epochs * step / 5, self.highest * step / 5)
            canvas.text(
                (x, _TOP + _HEIGHT + 20), f"{epochs * step / 5:g}", anchor="middle", size=12
            )
            canvas.text((left - 9, y + 4), f"{20 * self.highest * step:g}", anchor="end", size=12)
        below = (left + _WIDTH / 2, _TOP + _HEIGHT + 44)
        canvas.text(below, "epoch", anchor="middle")

    def place(self, epoch: float, rate: float) -> Point:
        """Where a rate after an epoch lies."""
        height = _TOP + _HEIGHT * (1 - rate / self.highest)
        return self.left + _WIDTH * epoch / self.epochs, height

    def level(self, rate: float) -> None:
        """What an encoder has that is not trained here."""
        _, y = self.place(0, rate)
        self.canvas.path([(self.left, y), (self.left + _WIDTH, y)], line=FAINT, dash="5 4")

    def curve(self, points: list[dict[str, Any]], colour: str, shape: str) -> None:
        """A student."""
        places = [self.place(point["epoch"], point[_AIMED][self.rate]) for point in points]
        self.canvas.path(places, line=colour)
        for place in places:
            self.canvas.mark(place, shape=shape, fill=colour, radius=4)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _told(run: Mapping[str, Any]) -> str:
    last = run["points"][-1]
    accuracy, success = (100 * last[_AIMED][rate] for rate in _PANELS)
    return f"{accuracy:.1f} % and {success:.1f} % after {last['epoch']} epochs"
