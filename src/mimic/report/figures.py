"""Figures of a report: plain data in, inline SVG out. Nothing here knows where the data come from.

Figures are as wide as a phone; a page puts two of them side by side where there is room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mimic.report.svg import INK, drawing_style, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Mapping[str, str] = {
    "clean": "#3182bd",
    "suspicious": "#d95f02",
    "purified": "#1b9e77",
    "scratch": "#8a7f8d",
}
"""One colour per role; each is told from black and from white, and by colour-blind eyes."""

_OTHER = "#8a7f8d"
_MARKERS = "oXDs^v"
_WIDTH = 4.0
GRID: dict[str, Any] = {"color": INK, "alpha": 0.15, "linewidth": 0.8}
"""How grid lines are drawn."""

Point = Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A rate with its interval, all in [0, 1].

    Attributes:
        name: of the row; a key of `COLOURS` gets its colour.
        value: the rate.
        low, high: ends of the 95 % interval.
    """

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Points of one kind.

    Attributes:
        name: for the legend.
        points: pairs (x, y).
        colour: any that matplotlib knows.
        marker: likewise.
    """

    name: str
    points: Sequence[Point]
    colour: str
    marker: str


def rate_chart(rates: Sequence[Rate], *, label: str, name: str, lowest: float = 0.0) -> str:
    """Rates as points with their intervals, one row each.

    Args:
        rates: from top to bottom.
        label: of the axis, without the unit.
        name: of the figure on its page.
        lowest: where the axis begins, in [0, 1).
    """
    with drawing_style():
        figure = new_figure(0.7 + 0.38 * len(rates))
        draw_rates(figure.add_subplot(), rates, label=label, lowest=lowest)
        told = "; ".join(f"{r.name} {percent(r.value)}, {interval(r.low, r.high)}" for r in rates)
        return inline_svg(figure, name=name, description=f"{label}, with 95 % intervals: {told}.")


def draw_rates(axes: "Axes", rates: Sequence[Rate], *, label: str, lowest: float = 0.0) -> None:
    """Draw `rate_chart` into existing axes."""
    for row, rate in enumerate(rates):
        colour, marker = COLOURS.get(rate.name, _OTHER), _MARKERS[row % len(_MARKERS)]
        axes.plot([100 * rate.low, 100 * rate.high], [row, row], color=colour, linewidth=2.5)
        axes.plot([100 * rate.value], [row], marker=marker, color=colour, markersize=8)
        axes.annotate(
            f"{100 * rate.value:.1f}",
            (1.03, row),
            xycoords=("axes fraction", "data"),
            va="center",
        )
    axes.set_yticks(range(len(rates)), labels=[rate.name for rate in rates])
    axes.set_ylim(len(rates) - 0.4, -0.6)
    margin = 2 * (1 - lowest)
    axes.set_xlim(100 * lowest - margin, 100 + margin)
    axes.set_xlabel(f"{label} (%)")
    axes.grid(axis="x", **GRID)
    axes.tick_params(axis="y", length=0)


def localization_chart(localization: Mapping[str, Any], *, name: str) -> str:
    """`information_chart` of what `Localization.as_dict` says."""
    stages = localization["stages"]
    return information_chart(
        [stage["name"] for stage in stages],
        [stage["mutual_information"] for stage in stages],
        [stage["standard_error"] for stage in stages],
        [stage["weight"] for stage in stages],
        name=name,
    )


def information_chart(
    stages: Sequence[str],
    nats: Sequence[float],
    errors: Sequence[float],
    weights: Sequence[float],
    *,
    name: str,
) -> str:
    """Mutual information between each stage and the feature, with the weights that follow.

    Args:
        stages: names, in the order of execution.
        nats: estimates, one per stage.
        errors: their standard errors, in nats.
        weights: in [0, 1].
        name: of the figure on its page.
    """
    with drawing_style():
        figure = new_figure(0.7 + 0.38 * len(stages))
        axes = figure.add_subplot()
        rows = range(len(stages))
        axes.barh(rows, nats, xerr=errors, height=0.6, color=COLOURS["clean"], ecolor=INK)
        for row, weight in zip(rows, weights, strict=True):
            axes.annotate(
                percent(weight), (1.03, row), xycoords=("axes fraction", "data"), va="center"
            )
        axes.annotate("weight", (1.03, -0.75), xycoords=("axes fraction", "data"), va="center")
        axes.set_yticks(rows, labels=stages)
        axes.set_ylim(len(stages) - 0.4, -1.0)
        axes.set_xlabel("mutual information with the feature (nats)")
        axes.grid(axis="x", **GRID)
        axes.tick_params(axis="y", length=0)
        rows_told = zip(stages, nats, errors, weights, strict=True)
        told = "; ".join(f"{s} {n:.2f} ± {e:.2f}, {percent(w)}" for s, n, e, w in rows_told)
        return inline_svg(
            figure, name=name, description=f"Nats, standard error and weight by stage: {told}."
        )


def loss_chart(curves: Mapping[str, Sequence[float]], *, name: str) -> str:
    """Curves of a training, one value per epoch.

    Args:
        curves: values of each term of the loss, one epoch or more.
        name: of the figure on its page.
    """
    from matplotlib.ticker import MaxNLocator

    palette = [*COLOURS.values(), "#b5679b", "#b3861b"]
    styles = ("solid", "dashed", "dotted", "dashdot")
    with drawing_style():
        figure = new_figure(2.6)
        axes = figure.add_subplot()
        for index, (term, values) in enumerate(curves.items()):
            axes.plot(
                range(1, len(values) + 1),
                values,
                label=term,
                color=palette[index % len(palette)],
                linestyle=styles[index % len(styles)],
                linewidth=1.8,
                marker="o" if len(values) == 1 else None,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if max(map(len, curves.values())) == 1:
            axes.set_xlim(0, 2)  # else ticks are at fractions of an epoch
        axes.set_xlabel("epoch")
        axes.set_ylabel("weighted loss")
        axes.set_ylim(bottom=0)
        axes.grid(**GRID)
        _legend_below(axes, len(curves))
        told = "; ".join(f"{term} {v[0]:.3f} to {v[-1]:.3f}" for term, v in curves.items())
        return inline_svg(figure, name=name, description=f"Loss by epoch, first to last: {told}.")


def cloud_chart(
    clouds: Sequence[Cloud],
    *,
    description: str,
    name: str,
    limits: tuple[Point, Point] | None = None,
) -> str:
    """Points in a plane; the later clouds lie on top.

    Args:
        clouds: one kind of points each.
        description: what the picture shows, for those who do not see it.
        name: of the figure on its page.
        limits: ends of both axes, for figures that are to be compared; None fits them.
    """
    with drawing_style():
        figure = new_figure(3.6)
        axes = figure.add_subplot()
        for cloud in clouds:
            axes.plot(
                [point[0] for point in cloud.points],
                [point[1] for point in cloud.points],
                linestyle="none",
                marker=cloud.marker,
                markersize=5,
                markeredgewidth=1.2 if cloud.marker in "x+" else 0.4,
                markeredgecolor=cloud.colour if cloud.marker in "x+" else "white",
                color=cloud.colour,
                alpha=0.8,
                label=cloud.name,
            )
        if limits is not None:
            axes.set_xlim(*limits[0])
            axes.set_ylim(*limits[1])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("first principal component")
        axes.set_ylabel("second")
        _legend_below(axes, len(clouds))
        return inline_svg(figure, name=name, description=description)


def percent(rate: float) -> str:
    """A rate in [0, 1] for people, as `97.2 %`."""
    return f"{100 * rate:.1f}\u00a0%"


def interval(low: float, high: float) -> str:
    """The ends of an interval in [0, 1] for people, as `95.1 to 98.4 %`."""
    return f"{100 * low:.1f} to {100 * high:.1f}\u00a0%"


def new_figure(height: float) -> "Figure":
    """An empty figure as wide as all others, `height` inches high."""
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height))


def _legend_below(axes: "Axes", entries: int) -> None:
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2 if axes.get_xticks().size else -0.1),
        ncols=min(3, entries),
        columnspacing=1.2,
        handletextpad=0.4,
    )
