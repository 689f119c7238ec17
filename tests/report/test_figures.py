import re

from mimic.report.figures import (
    Cloud,
    Rate,
    cloud_chart,
    information_chart,
    interval,
    loss_chart,
    percent,
    rate_chart,
)

RATES = [
    Rate(name="clean", value=0.967, low=0.944, high=0.981),
    Rate(name="other", value=0.5, low=0.45, high=0.55),
]


def test_a_rate_chart_writes_values_and_names():
    svg = rate_chart(RATES, label="accuracy", name="a")
    assert all(f">{text}<" in svg for text in ("96.7", "50.0", "clean", "other"))


def test_a_rate_chart_tells_its_intervals_in_words():
    svg = rate_chart(RATES, label="accuracy", name="a")
    assert "clean 96.7\u00a0%, 94.4 to 98.1\u00a0%" in svg


def test_an_information_chart_writes_the_weights():
    svg = information_chart(["layer1", "layer2"], [1.0, 3.0], [0.1, 0.2], [0.25, 0.75], name="i")
    assert ">25.0\u00a0%<" in svg
    assert "layer2 3.00 ± 0.20, 75.0\u00a0%" in svg


def test_a_dollar_sign_in_the_name_of_a_stage_is_a_dollar_sign():
    svg = information_chart(["a$b$", "c"], [1.0, 3.0], [0.1, 0.2], [0.25, 0.75], name="i")
    assert ">a$b$<" in svg


def test_a_negative_estimate_can_be_drawn():
    assert information_chart(["a", "b"], [-0.1, 0.0], [0.1, 0.2], [0.5, 0.5], name="i")


def test_a_loss_chart_of_one_epoch_shows_a_point():
    assert "<use" in loss_chart({"clone": [0.5]}, name="l")


def test_a_loss_chart_tells_where_each_term_ends():
    assert "clone 0.900 to 0.200" in loss_chart({"clone": [0.9, 0.4, 0.2]}, name="l")


def test_a_cloud_chart_draws_every_point():
    points = [[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]
    clouds = [Cloud(name="triggered", points=points, colour="#d95f02", marker="x")]
    svg = cloud_chart(clouds, description="three points", name="c")
    assert svg.count("<use") >= 3
    assert 'aria-label="three points"' in svg


def test_an_empty_cloud_can_be_drawn():
    clouds = [Cloud(name="nothing", points=[], colour="#d95f02", marker="o")]
    assert cloud_chart(clouds, description="nothing", name="c")


def test_percent_keeps_one_decimal_and_does_not_break_the_line():
    assert percent(0.9722) == "97.2\u00a0%"


def test_an_interval_names_both_ends():
    assert interval(0.951, 0.984) == "95.1 to 98.4\u00a0%"


def test_figures_to_compare_have_the_same_axes():
    def drawn(*points):
        cloud = Cloud(name="n", points=points, colour="#3182bd", marker="o")
        return cloud_chart([cloud], description="d", name="c", limits=((-1, 1), (-1, 1)))

    marks = re.compile(r'<use[^>]* x="([\d.]+)" y="([\d.]+)"')
    alone, among_others = drawn((0, 0)), drawn((0, 0), (0.9, 0.9))
    assert marks.findall(alone)[0] == marks.findall(among_others)[0]
