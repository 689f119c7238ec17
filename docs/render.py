"""Render what the pages of docs/ take from code and cards: the results and the pictures.

    python docs/render.py                           write them
    python docs/render.py --check                   exit 1 where a committed file differs
    python docs/render.py --demo mimic-demo/demo.json   also draw pictures/demo.png

The same cards give the same bytes: no time, no random numbers, no fonts.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench_tables import (
    BOARD,
    FIXED,
    beside_block,
    default_block,
    defense_blocks,
    grid_block,
    leaderboard_page,
    table,
)
from cards import METHODS, Found, Row, read_cards
from contrast_table import contrast_block
from curves_figure import curves_figure
from floor_table import floor_block
from method_figure import method_figure
from scan_table import scan_block
from scatter_figure import scatter_figure
from trigger_table import trigger_block
from verdict_table import verdict_block
from zoo_table import zoo_block

from mimic.errors import MimicError
from mimic.files import write_text

DOCS = Path(__file__).resolve().parent
PAGE, ZOO_PAGE, BOARD_PAGE = "results.md", "zoo.md", "leaderboard.md"
SCAN_PAGE = "commands/scan.md"
VERDICT_PAGE = "verification.md"
METHOD, SCATTER, DEMO = "pictures/method.svg", "pictures/results.svg", "pictures/demo.png"
CURVES = "pictures/curves.svg"
BEGIN, END = "<!-- begin: written by docs/render.py -->", "<!-- end: written by docs/render.py -->"
"""Around what is written here, once or several times in a page."""
ENOUGH_SEEDS = 3
SEEDLESS = ("nothing",)
"""Methods that give the same result whatever the seed."""
_PERCENT = ("GTSRB accuracy", "attack success", "CIFAR-10 accuracy")
_COSINES = ("cosine, clean", "cosine, triggered")
_OLD_HEAD = tuple(f"old head, {name}" for name in _PERCENT)


def results_block(found: Found) -> str:
    """The generated part of docs/results.md."""
    rows = [*found.encoders.values(), *found.methods]
    if not rows:
        return "No run of this scenario has a card yet, so there is no table here."
    columns = ["encoder", "seeds", *(f"{name} (%)" for name in _PERCENT), *_COSINES, "seconds"]
    parts = [
        table(columns, [_cells(row) for row in rows]),
        _remarks(found),
        f"![Accuracy kept and attack success left]({SCATTER})",
    ]
    if found.methods:
        parts.insert(1, _old_head_table(found.methods))
    return "\n\n".join(parts)


def _cells(row: Row) -> list[str]:
    return [
        *_title(row),
        *(_spread([100 * value for value in row.values[key]], 1) for key in _PERCENT),
        *(_spread(row.values.get(key, ()), 3) for key in _COSINES),
        _spread(row.values.get("seconds", ()), 0),
    ]


def _old_head_table(rows: Sequence[Row]) -> str:
    columns = ["under the old head", "seeds", *(f"{name} (%)" for name in _PERCENT)]
    cells = [
        _title(row) + [_spread([100 * value for value in row.values[key]], 1) for key in _OLD_HEAD]
        for row in rows
    ]
    return table(columns, cells)


def _title(row: Row) -> list[str]:
    name = f"`{row.name}`" if row.seeds else row.name
    return [f"{name}: {row.note}" if row.note else name, str(len(row.seeds) or "")]


def _spread(values: Sequence[float], digits: int) -> str:
    """Mean and sample standard deviation; one value stands alone."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _remarks(found: Found) -> str:
    few = [
        f"`{row.name}`"
        for row in found.methods
        if len(row.seeds) < ENOUGH_SEEDS and row.name not in SEEDLESS
    ]
    known = {row.name for row in found.methods}
    missing = [f"`{name}`" for name in METHODS if name not in known]
    remarks = []
    if found.methods:
        remarks.append("Values are means over the seeds, ± their sample standard deviation.")
    if few:
        remarks.append(f"Fewer than {ENOUGH_SEEDS} seeds, so a lead only: {', '.join(few)}.")
    if missing:
        remarks.append(f"Not run, so not in the table: {', '.join(missing)}.")
    facts = [f"- {kind}: {'; '.join(texts)}" for kind, texts in found.provenance.items()]
    return "\n".join([" ".join(remarks), "", *facts])


def with_blocks(path: Path, *blocks: str) -> str:
    """A page with what is between its pairs of markers replaced, in their order.

    Raises:
        ValueError: a marker is missing, or there are too many.
    """
    done, rest = "", path.read_text(encoding="utf-8")
    for block in blocks:
        before, begin, inner = rest.partition(BEGIN)
        _, end, rest = inner.partition(END)
        if not begin or not end:
            raise ValueError(f"{path.name} has lost a marker; it needs '{BEGIN}' and '{END}'")
        done += f"{before}{BEGIN}\n\n{block}\n\n{END}"
    if BEGIN in rest or END in rest:
        raise ValueError(f"{path.name} has more markers than the {len(blocks)} that are filled")
    return done + rest


def rendered(docs: Path, results: Path, zoo: Path) -> dict[str, str | None]:
    """Content by file name below `docs`; None for a file that should not be there."""
    found = read_cards(results / "small-badencoder", zoo)
    same_start = results / "same-start"
    benches = (
        default_block(results / "zoo", same_start / "zoo", results / "shares"),
        trigger_block(results / "true_triggers.json"),
        beside_block(results / "shares", same_start / "zoo", FIXED),
        beside_block(results / "zoo", results / "repulsion"),
        floor_block(results / "floors.json", zoo),
        contrast_block(results / "contrast.json"),
        grid_block(results / "grid"),
    )
    return {
        PAGE: with_blocks(docs / PAGE, results_block(found)),
        ZOO_PAGE: with_blocks(docs / ZOO_PAGE, zoo_block(zoo, results / "zoo_signs.json")),
        SCAN_PAGE: with_blocks(docs / SCAN_PAGE, scan_block(results / "zoo_scan.json")),
        VERDICT_PAGE: with_blocks(docs / VERDICT_PAGE, verdict_block(results / "verdicts.json")),
        BOARD_PAGE: with_blocks(docs / BOARD_PAGE, *benches),
        BOARD: leaderboard_page(results / "grid"),
        METHOD: method_figure(),
        CURVES: curves_figure(results / "curves", zoo),
        **_defenses(docs, results / "grid"),
        SCATTER: scatter_figure(found) if found.encoders or found.methods else None,
    }


def _defenses(docs: Path, grid: Path) -> dict[str, str]:
    """The pages of methods of purification that say what was measured."""
    pages = {
        page.stem: page
        for page in sorted((docs / "defenses").glob("*.md"))
        if BEGIN in page.read_text(encoding="utf-8")
    }
    blocks = defense_blocks(grid, pages)
    return {f"defenses/{name}.md": with_blocks(pages[name], blocks[name]) for name in pages}


def differing(docs: Path, files: Mapping[str, str | None]) -> list[str]:
    """Names of the files below `docs` that are not what they should be."""

    def content(path: Path) -> str | None:
        return path.read_text(encoding="utf-8") if path.exists() else None

    return [name for name, wanted in files.items() if content(docs / name) != wanted]


def main(
    arguments: Sequence[str] | None = None, *, docs: Path = DOCS, root: Path = DOCS.parent
) -> int:
    """Read the command line; 0 done, 1 a file differs, 2 a card is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--demo", type=Path, metavar="FILE", help="demo.json of a finished demo")
    asked = parser.parse_args(arguments)
    try:
        files = rendered(docs, root / "results", root / "zoo")
        stale = differing(docs, files)
        if asked.check:
            for name in stale:
                print(f"docs/{name} is out of date; run python docs/render.py", file=sys.stderr)
            return int(bool(stale))
        for name in stale:
            _write(docs / name, files[name])
        if asked.demo is not None:
            from mimic.report.pictures import draw_result_picture

            draw_result_picture(asked.demo, docs / DEMO)
    except (MimicError, ValueError) as error:
        print(f"docs/render.py: {error}", file=sys.stderr)
        return 2
    return 0


def _write(path: Path, content: str | None) -> None:
    if content is None:
        path.unlink()
    else:
        write_text(path, content)


if __name__ == "__main__":
    sys.exit(main())
