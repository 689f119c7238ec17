"""The figure of docs/method.md: teacher, student, and the searches, of which patches are drawn."""

from collections.abc import Sequence

from drawing import FAINT, INK, Canvas, Pixels, Point
from sklearn.datasets import load_digits

_TEACHER, _STUDENT, _SEARCH = "#d95f02", "#1b9e77", "#3182bd"
_PATCH: Pixels = [["#e9c000", "#204a9c"], ["#204a9c", "#e9c000"]]
_PLACE = (5, 5)
_SHOWN = (3, 4, 5)
"""Which of scikit-learn's digits are drawn."""


def method_figure() -> str:
    """The figure as SVG text."""
    canvas = Canvas(
        900,
        590,
        "Top: an image goes through the frozen teacher. Middle: the same image with a patch on it "
        "goes through the student, whose stages and feature must agree with the teacher's. Bottom: "
        "before the training, patches, colours and waves are searched under which the teacher "
        "forgets the image; patches are drawn.",
    )
    digits = [_digit(index) for index in _SHOWN]
    _network_row(canvas, 40, digits[0], _TEACHER)
    canvas.text((186, 46), "Teacher: the suspicious encoder, frozen", fill=_TEACHER, bold=True)
    _network_row(canvas, 220, _patched(digits[0]), _STUDENT)
    canvas.text((186, 325.5), "Student: random weights, trained", fill=_STUDENT, bold=True)
    canvas.text((20, 28), "The image, as it is", size=12)
    canvas.text((20, 336), "The image with a patch", size=12)
    _agreement(canvas)
    _search_row(canvas, 400, digits)
    return canvas.svg()


def _network_row(canvas: Canvas, top: float, picture: Pixels, colour: str) -> None:
    canvas.picture((20, top), picture, cell=12)
    canvas.path([(122, top + 48), (168, top + 48)], arrow=True)
    canvas.box((172, top - 14), (440, 124), line=colour, radius=8)
    for stage in range(4):
        corner = (188 + 106 * stage, top + 24)
        canvas.box(corner, (92, 66), fill=colour, radius=4)
        canvas.text((corner[0] + 46, corner[1] + 38), f"stage {stage + 1}", anchor="middle",
                    fill="#ffffff")  # fmt: skip
    canvas.path([(612, top + 48), (658, top + 48)], arrow=True)
    _feature(canvas, (664, top + 8), colour)


def _feature(canvas: Canvas, corner: Point, colour: str) -> None:
    for row, share in enumerate((0.8, 0.3, 0.6, 0.95, 0.45)):
        canvas.box((corner[0], corner[1] + 17 * row), (90 * share, 12), fill=colour)
    canvas.text((corner[0] + 100, corner[1] + 46), "feature", fill=colour)


def _agreement(canvas: Canvas) -> None:
    """What must be alike between the two rows."""
    for stage in range(4):
        x = 234 + 106 * stage
        canvas.path([(x, 132), (x, 242)], line=FAINT, dash="4 4")
    canvas.box((262, 160), (288, 38), fill="#ffffff")
    canvas.text(
        (406, 175),
        "stages agree, except under the patch;\nweights from the mutual information",
        anchor="middle",
        size=12,
    )
    canvas.path([(708, 140), (708, 222)], line=INK, dash="4 4")
    canvas.box((660, 160), (210, 38), fill="#ffffff")
    canvas.text((664, 175), "must point the same way,\nalthough the patch is there", size=12)


def _search_row(canvas: Canvas, top: float, digits: Sequence[Pixels]) -> None:
    canvas.box((12, top - 24), (876, 198), line=_SEARCH, dash="6 4", radius=8)
    canvas.text(
        (24, top - 4),
        "Before the training: searches for patches (drawn), colours and waves",
        fill=_SEARCH,
        bold=True,
    )
    canvas.picture((40, top + 36), _PATCH, cell=16)
    canvas.text((24, top + 90), "a patch on", size=12)
    canvas.text((24, top + 107), "many images", size=12)
    canvas.path([(76, top + 52), (106, top + 52)], arrow=True)
    for index, digit in enumerate(digits):
        canvas.picture((112 + 74 * index, top + 20), _patched(digit), cell=8)
    canvas.path([(332, top + 52), (358, top + 52)], arrow=True)
    canvas.box((362, top + 24), (92, 56), fill=_TEACHER, radius=4)
    canvas.text((408, top + 56), "teacher", anchor="middle", fill="#ffffff")
    canvas.path([(454, top + 52), (482, top + 52)], arrow=True)
    _outcome(canvas, (488, top + 12), [(20, 18), (74, 30), (44, 66)], "features differ:\ndropped")
    _outcome(
        canvas,
        (688, top + 12),
        [(44, 40), (50, 44), (46, 50)],
        "all alike: kept,\nvaried, tried again",
    )
    canvas.path([(734, top + 96), (734, top + 134), (58, top + 134), (58, top + 112)],
                line=_SEARCH, arrow=True)  # fmt: skip
    canvas.text((396, top + 152), "next round", anchor="middle", size=12, fill=_SEARCH)
    canvas.path([(66, top - 24), (66, 344)], line=_SEARCH, arrow=True)
    canvas.text((80, 362), "what was found changes four views in ten, random patches one in ten",
                size=12, fill=_SEARCH)  # fmt: skip


def _outcome(canvas: Canvas, corner: Point, spots: Sequence[Point], words: str) -> None:
    x, y = corner
    canvas.box(corner, (92, 84), line=FAINT, radius=4)
    for dx, dy in spots:
        canvas.mark((x + dx, y + dy), shape="circle", fill=_TEACHER)
    canvas.text((x + 98, y + 36), words, size=12)


def _digit(index: int) -> Pixels:
    grey = [[round(255 * value / 16) for value in row] for row in load_digits().images[index]]
    return [[f"#{value:02x}{value:02x}{value:02x}" for value in row] for row in grey]


def _patched(digit: Pixels) -> Pixels:
    pixels = [list(row) for row in digit]
    for row, colours in enumerate(_PATCH):
        for column, colour in enumerate(colours):
            pixels[_PLACE[0] + row][_PLACE[1] + column] = colour
    return pixels
