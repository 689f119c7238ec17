"""Drawings of a leaderboard: where points lie, and that labels cover nothing."""

import math
from itertools import combinations, pairwise
from random import Random

import pytest

from mimic.report.leaderboard.axes import Span, span_of
from mimic.report.leaderboard.curves import curves
from mimic.report.leaderboard.data import Amount
from mimic.report.leaderboard.drawing import FONT, Box, Labels, spread
from mimic.report.leaderboard.rows import rows_of
from mimic.report.leaderboard.scatter import scatter

from .leaderboard_support import card, result

KINDS = {"mimic": "ours", "nad": "baseline", "scratch": "control"}
FRAME = Box(0.0, 0.0, 400.0, 300.0)


def rows(**rates):
    """Rows of one scenario by label: accuracy and attack success."""
    return rows_of([card(label, results=result(*both)) for label, both in rates.items()])


def marks(drawing):
    """Where each mark is, by the first words of its title."""
    return {mark.title.partition(":")[0]: mark.place for mark in drawing.marks}


def test_a_span_holds_all_values_between_multiples_of_five_percent():
    span = span_of([0.523, 0.617])
    assert (span.low, span.high) == pytest.approx((0.5, 0.65))


def test_a_span_of_one_value_has_a_width():
    assert span_of([0.6]).low < 0.6 < span_of([0.6]).high


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.0], [1.0], [0.001, 0.999]])
def test_a_span_stays_within_the_range_of_rates(values):
    span = span_of(values)
    assert 0 <= span.low < span.high <= 1


@pytest.mark.parametrize("span", [(0.0, 1.0), (0.4, 0.65), (0.55, 0.6), (0.95, 1.0)])
def test_ticks_are_few_and_within_their_span(span):
    ticks = Span(low=span[0], high=span[1]).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(span[0] - 1e-9 <= tick <= span[1] + 1e-9 for tick in ticks)


def test_the_scatter_puts_success_on_a_root_axis_and_accuracy_on_a_straight_one():
    found = marks(
        scatter(
            rows(mimic=(0.5, 0.0), nad=(0.6, 0.25), scratch=(0.7, 1.0)),
            KINDS,
            Span(low=0.5, high=0.7),
            title="t",
        )
    )
    left, middle, right = found["mimic"], found["nad"], found["scratch"]
    assert (left[0] + right[0]) / 2 == pytest.approx(middle[0])
    assert (left[1] + right[1]) / 2 == pytest.approx(middle[1])
    assert left[1] > right[1]


def test_the_corner_of_the_scatter_is_the_clean_encoder():
    drawing = scatter(rows(mimic=(0.6, 0.02)), KINDS, span_of([0.5, 0.7]), title="t")
    (corner,) = (stroke for stroke in drawing.strokes if stroke.style == "corner")
    assert corner.points[1] == marks(drawing)["clean encoder"]


def test_the_scatter_leaves_out_what_was_never_attacked():
    found = rows(mimic=(0.6, 0.02), nad=(0.5, None))
    assert "nad" not in marks(scatter(found, KINDS, span_of([0.5, 0.7]), title="t"))


def test_the_scatter_tells_its_numbers_in_words():
    drawing = scatter(rows(mimic=(0.6, 0.02)), KINDS, span_of([0.5, 0.7]), title="where")
    assert drawing.description.startswith("where: ")
    assert "mimic: accuracy 60.0\u00a0%, attack success 2.0\u00a0%" in drawing.description


def test_labels_cover_neither_each_other_nor_points():
    random = Random(0)
    points = [(random.uniform(10, 390), random.uniform(10, 290)) for _ in range(30)]
    labels = Labels(FRAME)
    labels.avoid(points)
    words = [w for n, p in enumerate(points) for w in labels.place(p, f"defence {n}", "")[0]]
    assert len(words) == len(labels.words) > 20
    assert not any(one.meets(other) for one, other in combinations(labels.words, 2))
    assert not any(label.meets(other) for label in labels.words for other in labels.points)
    assert not any(label.meets(step) for label in labels.words for step in labels.lines)
    assert all(label.within(FRAME) for label in labels.words)


def test_a_label_with_room_stands_right_of_its_point_without_a_line():
    (words,), leaders = Labels(FRAME).place((100.0, 100.0), "mimic", "")
    assert words.place[0] > 100.0
    assert words.place[1] == pytest.approx(100.0, abs=FONT / 2)
    assert leaders == []


def test_a_label_without_room_is_left_out():
    labels = Labels(FRAME, points=[FRAME])
    assert labels.place((100.0, 100.0), "mimic", "") == ([], [])


def test_heights_that_fit_stay():
    assert spread([30.0, 10.0, 50.0], gap=5, low=0, high=100) == [30.0, 10.0, 50.0]


@pytest.mark.parametrize("wanted", [[50.0] * 5, [0.0, 1.0, 2.0], [99.0, 98.0, 100.0, 40.0]])
def test_heights_are_spread_within_their_bounds(wanted):
    found = spread(wanted, gap=10, low=0, high=100)
    ordered = sorted(found)
    assert all(b - a >= 10 - 1e-9 for a, b in pairwise(ordered))
    assert ordered[0] >= 0
    assert ordered[-1] <= 100


def test_too_many_heights_share_what_there_is():
    found = spread([5.0] * 11, gap=50, low=0, high=100)
    assert sorted(found) == pytest.approx([10.0 * n for n in range(11)])


def drawn_curves(ratios, **rates):
    """Curves of labels with an accuracy per ratio, and the names of their marks."""
    cards = [
        card(label, ratio=ratio, results=result(accuracy, 0.1))
        for label, values in rates.items()
        for ratio, accuracy in zip(ratios, values, strict=False)
    ]
    amounts = [Amount(name=f"{100 * r:g} %", ratio=r, count=None) for r in ratios]
    return curves(rows_of(cards), amounts, "accuracy", Span(low=0.4, high=0.7), title="t")


def test_curves_have_a_mark_per_share_of_images():
    drawing = drawn_curves((0.01, 0.1), mimic=(0.5, 0.6), nad=(0.4, 0.5))
    assert [mark.title for mark in drawing.marks] == [
        "mimic, 1 %: 50.0\u00a0%",
        "mimic, 10 %: 60.0\u00a0%",
        "nad, 1 %: 40.0\u00a0%",
        "nad, 10 %: 50.0\u00a0%",
    ]


def test_shares_of_images_lie_on_a_logarithmic_axis():
    places = [m.place[0] for m in drawn_curves((0.01, 0.02, 0.1), mimic=(0.5, 0.5, 0.5)).marks]
    share = (places[1] - places[0]) / (places[2] - places[0])
    assert share == pytest.approx(math.log(2) / math.log(10))


def test_a_defence_with_one_share_of_images_has_no_curve():
    drawing = drawn_curves((0.01, 0.1), mimic=(0.5, 0.6), nad=(0.4,))
    assert not any(mark.title.startswith("nad") for mark in drawing.marks)


def test_controls_run_across_the_curves():
    drawing = drawn_curves((0.01, 0.1), mimic=(0.5, 0.6))
    (clean,) = (s for s in drawing.strokes if s.style == "curve clean dashed")
    assert clean.points[0][1] == clean.points[1][1]
