from xml.etree import ElementTree as ET

import matplotlib
import pytest
from matplotlib.figure import Figure

from mimic.report.svg import INK, drawing_style, inline_svg


def _drawn(name: str = "a", description: str = "a line") -> str:
    with drawing_style():
        figure = Figure(figsize=(3, 2))
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], marker="o")
        axes.set_title("title")
        return inline_svg(figure, name=name, description=description)


def test_the_drawing_is_one_well_formed_element():
    assert ET.fromstring(_drawn()).tag.endswith("svg")


def test_nothing_stands_before_the_element():
    assert _drawn().startswith("<svg ")


def test_the_drawing_has_no_size_of_its_own_but_keeps_its_proportions():
    root = ET.fromstring(_drawn())
    assert "width" not in root.attrib
    assert "height" not in root.attrib
    assert root.attrib["viewBox"]


def test_ink_takes_the_colour_of_the_page():
    svg = _drawn()
    assert INK not in svg
    assert "currentColor" in svg


def test_text_stays_text():
    assert ">title<" in _drawn()


def test_ids_begin_with_the_name_of_the_figure():
    ids = [e.attrib["id"] for e in ET.fromstring(_drawn("loss")).iter() if "id" in e.attrib]
    assert ids
    assert all(name.startswith("loss-") for name in ids)


def test_the_description_is_escaped():
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in _drawn(description='a "b" <c>')


def test_the_same_figure_gives_the_same_text():
    assert _drawn() == _drawn()


def test_neither_dates_nor_metadata_are_kept():
    assert "<metadata" not in _drawn()


@pytest.mark.parametrize("setting", ["svg.fonttype", "font.size", "svg.hashsalt"])
def test_settings_of_matplotlib_are_as_before_afterwards(setting):
    before = matplotlib.rcParams[setting]
    _drawn()
    assert matplotlib.rcParams[setting] == before
