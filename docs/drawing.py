"""Canvas: a figure as SVG text, written by hand so that every machine writes the same bytes."""

from collections.abc import Sequence
from html import escape

INK, PAPER, FAINT = "#1f2430", "#ffffff", "#8a8f9c"

Point = tuple[float, float]
Pixels = Sequence[Sequence[str]]
"""Rows of colours, `#rrggbb`."""


class Canvas:
    """Shapes in drawing order; coordinates are pixels from the top left corner.

    Args:
        width, height: of the figure.
        description: what the figure shows, for those who do not see it.
    """

    def __init__(self, width: int, height: int, description: str) -> None:
        self.width, self.height = width, height
        self.parts = [f"<title>{escape(description)}</title>"]
        self.box((0, 0), (width, height), fill=PAPER)

    def box(
        self,
        corner: Point,
        size: Point,
        *,
        fill: str = "none",
        line: str = "none",
        dash: str = "none",
        radius: float = 0,
    ) -> None:
        """A rectangle from its top left corner."""
        (x, y), (width, height) = corner, size
        self.parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
            f'rx="{_n(radius)}" fill="{fill}" stroke="{line}" stroke-dasharray="{dash}"/>'
        )

    def path(
        self, points: Sequence[Point], *, line: str = INK, dash: str = "none", arrow: bool = False
    ) -> None:
        """A line through points, with a head at its end if it is an arrow."""
        where = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self.parts.append(
            f'<polyline points="{where}" fill="none" stroke="{line}" stroke-width="1.5" '
            f'stroke-dasharray="{dash}"/>'
        )
        if arrow:
            self._head(points[-2], points[-1], line)

    def text(
        self,
        place: Point,
        words: str,
        *,
        anchor: str = "start",
        size: int = 13,
        fill: str = INK,
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        """Words, at `anchor` start, middle or end; a line break starts a line below."""
        x, y = place
        weight = ' font-weight="bold"' if bold else ""
        turn = f' transform="rotate(-90 {_n(x)} {_n(y)})"' if turned else ""
        for row, line in enumerate(words.split("\n")):
            self.parts.append(
                f'<text x="{_n(x)}" y="{_n(y + row * (size + 4))}" text-anchor="{anchor}" '
                f'font-size="{size}" fill="{fill}"{weight}{turn}>{escape(line)}</text>'
            )

    def picture(self, corner: Point, pixels: Pixels, *, cell: float) -> None:
        """An image of few pixels, each a square of `cell` pixels, with a thin frame."""
        x, y = corner
        for row, colours in enumerate(pixels):
            for column, colour in enumerate(colours):
                self.box((x + column * cell, y + row * cell), (cell, cell), fill=colour)
        self.box(corner, (len(pixels[0]) * cell, len(pixels) * cell), line=INK)

    def mark(self, place: Point, *, shape: str, fill: str, radius: float = 5) -> None:
        """A point: circle, square, diamond or triangle."""
        x, y = place
        corners: dict[str, list[Point]] = {
            "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
            "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
            "triangle": [(0, -1.2), (1.2, 1), (-1.2, 1)],
        }
        style = f'fill="{fill}" stroke="{PAPER}"'
        if shape == "circle":
            self.parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" {style}/>')
            return
        where = " ".join(
            f"{_n(x + dx * radius)},{_n(y + dy * radius)}" for dx, dy in corners[shape]
        )
        self.parts.append(f'<polygon points="{where}" {style}/>')

    def svg(self) -> str:
        """The whole figure."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" font-family="sans-serif" role="img" '
                'shape-rendering="geometricPrecision">',
                *self.parts,
                "</svg>\n",
            ]
        )

    def _head(self, before: Point, tip: Point, fill: str) -> None:
        (x0, y0), (x, y) = before, tip
        length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        dx, dy = (x - x0) / length, (y - y0) / length
        sides = [(x - 9 * dx - side * 4 * dy, y - 9 * dy + side * 4 * dx) for side in (1, -1)]
        where = " ".join(f"{_n(px)},{_n(py)}" for px, py in [tip, *sides])
        self.parts.append(f'<polygon points="{where}" fill="{fill}"/>')


def _n(value: float) -> str:
    """A coordinate in as few characters as it needs."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
