"""Figures of the evidence: scores among those of clean encoders, old doors, and what is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mimic.report.figures import COLOURS, GRID, new_figure, percent
from mimic.report.svg import INK, drawing_style, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"before": COLOURS["suspicious"], "after": COLOURS["purified"]}
_MARKERS = {"before": "X", "after": "D"}
_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_LINEAR_TO = 2


@dataclass(frozen=True, kw_only=True)
class DoorBar:
    """By how much a trigger exceeds what is natural: shares of what tells images apart."""

    name: str
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class KeptBar:
    """A number about what is kept, its 95 % interval, and its yardstick."""

    name: str
    value: float
    low: float
    high: float
    yardstick: float


def score_chart(clean: Sequence[float], scores: Mapping[str, float], *, name: str) -> str:
    """Scores of scans, by role, above those of encoders without a backdoor.

    Args:
        clean: scores of clean encoders, 0 or more.
        scores: of the scanned encoders, by role: "before", and "after" where there are two.
        name: of the figure on its page.
    """
    names = list(scores) if len(scores) > 1 else ["this encoder"]
    with drawing_style():
        figure = new_figure(0.8 + 0.38 * (len(scores) + 1))
        axes = figure.add_subplot()
        for row, (role, score) in enumerate(scores.items()):
            _mark(axes, score, row, role)
            axes.annotate(
                f"{score:.1f}", (1.03, row), xycoords=("axes fraction", "data"), va="center"
            )
        rows = [len(scores)] * len(clean)
        axes.plot(clean, rows, "o", color=COLOURS["clean"], alpha=0.45, markersize=8)
        _name_rows(axes, [*names, "clean encoders"])
        # a linear axis would leave one blot of the small scores where there is a large one
        axes.set_xscale("symlog", linthresh=_LINEAR_TO)
        end = 1.4 * max(4.0, *clean, *scores.values())
        axes.set_xlim(-0.15, end)
        ticks = [tick for tick in _TICKS if tick <= end]
        axes.set_xticks(ticks, labels=[str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("score (standard deviations)")
        told = "; ".join(f"{n} {s:.1f}" for n, s in zip(names, scores.values(), strict=True))
        spread = f"{len(clean)} clean encoders from {min(clean):.1f} to {max(clean):.1f}"
        return inline_svg(figure, name=name, description=f"Scores of scans: {told}; {spread}.")


def door_chart(doors: Sequence[DoorBar], *, closed: float, opened: float, name: str) -> str:
    """What triggers do to the old encoder and to the new one, beyond what is natural.

    Args:
        doors: from top to bottom.
        closed: share up to which a door is closed, drawn as a line.
        opened: share from which it is open, likewise.
        name: of the figure on its page.
    """
    height = 0.9 + 0.4 * len(doors)
    with drawing_style():
        figure = new_figure(height)
        axes = figure.add_subplot()
        for row, door in enumerate(doors):
            ends = [100 * door.before, 100 * door.after]
            axes.plot(ends, [row, row], color=INK, alpha=0.35, linewidth=1.5)
            for role, value in zip(_MARKERS, ends, strict=True):
                _mark(axes, value, row, role, label=role)
        for words, share, side in (("closed ", closed, "right"), (" open", opened, "left")):
            axes.axvline(100 * share, color=INK, alpha=0.6, linestyle="dashed", linewidth=1)
            place = (100 * share, 1.02)
            axes.annotate(words, place, xycoords=("data", "axes fraction"), ha=side, fontsize=9)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.set_xlabel("taken away (%)")
        _name_rows(axes, [door.name for door in doors])
        _legend(axes, height)
        told = "; ".join(f"{d.name} {percent(d.before)} to {percent(d.after)}" for d in doors)
        return inline_svg(
            figure,
            name=name,
            description=f"Spread taken away beyond what is natural, before to after: {told}.",
        )


def kept_chart(rows: Sequence[KeptBar], *, name: str) -> str:
    """What is kept, with its interval; a hollow mark shows the yardstick.

    Args:
        rows: from top to bottom; a value of 1 means that nothing has changed.
        name: of the figure on its page.
    """
    height = 0.9 + 0.4 * len(rows)
    with drawing_style():
        figure = new_figure(height)
        axes = figure.add_subplot()
        axes.axvline(1, color=INK, alpha=0.5, linewidth=1)
        for row, kept in enumerate(rows):
            axes.plot([kept.low, kept.high], [row, row], color=_COLOURS["after"], linewidth=2.5)
            _mark(axes, kept.value, row, "after", label="kept")
            axes.plot(
                *([kept.yardstick], [row], "o"),
                markerfacecolor="none",
                markeredgecolor=INK,
                markersize=8,
                label=None if row else "yardstick",
            )
        _name_rows(axes, [kept.name for kept in rows])
        axes.set_xlabel("1 means that nothing has changed")
        _legend(axes, height)
        told = "; ".join(
            f"{k.name} {k.value:.2f}, {k.low:.2f} to {k.high:.2f}, yardstick {k.yardstick:.2f}"
            for k in rows
        )
        return inline_svg(figure, name=name, description=f"Kept, with 95 % intervals: {told}.")


def _mark(axes: "Axes", value: float, row: int, role: str, *, label: str | None = None) -> None:
    """One encoder's value; rows share a label, which the legend names once."""
    axes.plot(
        *([value], [row], _MARKERS[role]),
        color=_COLOURS[role],
        markersize=8,
        label=None if row else label,
    )


def _name_rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), labels=names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", **GRID)
    axes.tick_params(axis="y", length=0)


def _legend(axes: "Axes", height: float) -> None:
    """Below the label of the axis, whatever the height of the figure in inches."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.65 / height), ncols=2)
