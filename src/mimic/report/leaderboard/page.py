"""The page of a leaderboard: one file, readable without its script, nothing to fetch."""

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

from mimic.report.leaderboard.axes import Span, span_of
from mimic.report.leaderboard.curves import curves
from mimic.report.leaderboard.data import (
    MEASURE_NAMES,
    MEASURES,
    Leaderboard,
    Measure,
    Row,
    View,
)
from mimic.report.leaderboard.drawing import SHAPES
from mimic.report.leaderboard.heat import heat_maps
from mimic.report.leaderboard.layout import Figure, Index, titled
from mimic.report.leaderboard.scatter import scatter
from mimic.report.leaderboard.tables import (
    costs_table,
    failures_table,
    ranks_table,
    scenarios_table,
    standings,
    tests_table,
)
from mimic.report.leaderboard.words import entrant_notes, kinds_of, lead, notes, verdict


def render_leaderboard(board: Leaderboard) -> str:
    """The leaderboard as one HTML file.

    The script only shows, hides and sorts what is there. The policy of the page lets nothing else
    run and nothing be fetched, not even if a name got past the escaping.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("mimic.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _text("page.css", "leaderboard.css"), _text("leaderboard.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("leaderboard.html").render(
        board=board,
        policy=policy,
        shapes=SHAPES,
        command=f"mimic report {shlex.quote(board.folder)}",
        style=Markup(style),  # noqa: S704 - our own files, without a value in them
        script=Markup(script),  # noqa: S704
        **(_content(board) if board.rows else _nothing(board)),
    )


def _content(board: Leaderboard) -> dict[str, Any]:
    """What the template asks for."""
    index = Index(board)
    return {
        "verdict": verdict(index),
        "lead": lead(index),
        "choices": index.choices(),
        "hidden": index.hidden,
        "scatters": tuple(_scatters(index)),
        "standings": standings(index, entrant_notes(board)),
        "heat_maps": tuple(heat_maps(index)),
        "curves": tuple(_curves(index)),
        "ranks": ranks_table(index),
        "tests": tests_table(index),
        "costs": costs_table(index),
        "notes": notes(board),
        **_common(index),
    }


def _nothing(board: Leaderboard) -> dict[str, Any]:
    """The same for cards that all failed."""
    return {
        "verdict": "No cell has a result yet",
        "lead": f"All {board.cards} cells failed; see below why.",
        "choices": (),
        "hidden": lambda place: False,
        "scatters": (),
        "standings": None,
        "heat_maps": (),
        "curves": (),
        "ranks": None,
        "tests": None,
        "costs": None,
        "notes": (),
        **_common(Index(board)),
    }


def _common(index: Index) -> dict[str, Any]:
    return {
        "failures": failures_table(index),
        "scenarios": scenarios_table(index.board),
        "settings": {
            one.label: json.dumps(one.settings, indent=2, ensure_ascii=False, default=str)
            for one in index.board.entrants
        },
    }


def _scatters(index: Index) -> Iterator[Figure]:
    """One figure per scope and view that has attack success."""
    board, kinds = index.board, kinds_of(index.board)
    for scope in board.scopes:
        for view in board.views:
            rows = [r for r in board.rows if (r.scenario, r.view) == (scope, view) and r.complete]
            if not any(not r.control and r.attack_success_rate is not None for r in rows):
                continue
            alike = [r for r in board.rows if _head(r.view) == _head(view)]
            span = span_of(row.accuracy.mean for row in alike)
            title = _title(index, scope)
            yield Figure(
                title=title,
                drawing=scatter(rows, kinds, span, title=title),
                caption="Up and to the left is better; the dashed corner is the clean encoder. "
                "A point without room for its name tells it when it is pointed at.",
                place=index.scenario(scope) | index.place(view),
            )


def _curves(index: Index) -> Iterator[Figure]:
    """A figure per scope, task, probe and measure where several shares of images were used."""
    board = index.board
    if sum(amount.ratio is not None for amount in board.amounts) < 2:
        return
    for scope in board.scopes:
        for head in dict.fromkeys(map(_head, board.views)):
            alike = [row for row in board.rows if _head(row.view) == head]
            for measure in MEASURES:
                if any(getattr(row, measure) is not None for row in alike):
                    yield _curve(index, scope, alike, measure)


def _curve(index: Index, scope: str | None, alike: Sequence[Row], measure: Measure) -> Figure:
    """The curves of one scope; its axis is that of all scopes."""
    span = span_of(e.mean for row in alike if (e := getattr(row, measure)) is not None)
    if measure == "attack_success_rate":
        span = Span(low=0.0, high=span.high)
    rows = [row for row in alike if row.scenario == scope and row.complete]
    shares = [amount for amount in index.board.amounts if amount.ratio is not None]
    title = f"{MEASURE_NAMES[measure].capitalize()} (%), {_title(index, scope)}"
    place = index.scenario(scope) | index.place(alike[0].view)
    return Figure(
        title=title,
        drawing=curves(rows, shares, measure, span, title=title),
        caption="Dashed: the encoder before the attack, and as the defender gets it.",
        place={name: value for name, value in place.items() if name != "amount"},
    )


def _head(view: View) -> tuple[str, str]:
    """What an axis of rates must have in common."""
    return view.task, view.probe


def _title(index: Index, scope: str | None) -> str:
    attacks = {one.name: one.attack for one in index.board.scenarios}
    if scope is not None:
        return titled(scope, attacks[scope])
    return f"mean over {sum(name is not None for name in index.board.scopes)} scenarios"


def _text(*names: str) -> str:
    folder = files("mimic.report") / "templates"
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
