"""Matplotlib figures as inline SVG that takes its colours and font from the page around it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Drawn in this colour, a line or a text becomes `currentColor`: dark on light, light on dark."""

_STYLE: Any = {  # matplotlib types the names of its settings one by one
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],  # measures the text; the page shows its own font
    "font.size": 11.0,
    "axes.titlesize": 11.0,
    "axes.labelsize": 11.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 11.0,
    "text.parse_math": False,  # names of stages come from files and may hold a dollar sign
}
_BOILERPLATE = re.compile(r"\A.*?(?=<svg)|<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"|(<svg[^>]*?) height="[^"]*"')


@contextmanager
def drawing_style() -> Iterator[None]:
    """The settings under which figures are made and saved; matplotlib's own return afterwards."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def inline_svg(figure: "Figure", *, name: str, description: str) -> str:
    """A figure as an `<svg>` element for an HTML page.

    Args:
        figure: made and still within `drawing_style`.
        name: a word that no other figure of the page has; ids inside begin with it.
        description: what a person who does not see the figure should know.

    Returns:
        The element, as wide as its container, the same text for the same figure.
    """
    import matplotlib

    buffer = StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata=nothing)
    text = _BOILERPLATE.sub("", buffer.getvalue())
    text = _SIZE.sub(r"\1\2", _SIZE.sub(r"\1\2", text, count=1), count=1)
    text = text.replace(INK, "currentColor")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    label = escape(description, quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
