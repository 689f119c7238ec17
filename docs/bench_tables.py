"""Tables of benchmarks: the default on every attack, and all defences beside each other."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from mimic.benchmark import ResultCard
from mimic.benchmark.cards import CARDS, load_cards
from mimic.evaluation.evaluate import Evaluation
from mimic.report.leaderboard import gather, render_leaderboard
from mimic.report.leaderboard.rows import grouped

TASKS = {"gtsrb": "GTSRB", "cifar10": "CIFAR-10"}
BOARD = "leaderboard-grid.html"
FIXED = "fixed"
"""Label of the default with fixed shares."""
_WHOLE = (
    f"[The whole leaderboard]({BOARD}) has each attack, intervals, ranks, tests and costs; "
    "`mimic report` made it."
)
_AT_A_SMALL_BUDGET = (
    "From the [leaderboard](../leaderboard.md#every-defence-at-the-same-small-budget): 2,000 "
    "images, looked at 40 times at most, linear heads. Each cell reads *attacked → purified "
    "(clean)*."
)
NOT_MEASURED = "Not measured yet, so there is no table here."
_NONE_YET = "No cell of this benchmark has a card yet, so there is no table here."


def default_block(folder: Path, earlier: Path, fixed: Path) -> str:
    """What the default makes of each attacked encoder, a row each, means over seeds.

    Args:
        folder: of a benchmark with the default.
        earlier: of one with an earlier default, which stands in, with a star, for members without
            cards.
        fixed: of one with fixed shares, which stands in where there is none in `earlier` either.

    Raises:
        InputError: a card cannot be read.
    """
    cards = _cards(folder)
    known = {card.scenario for card in cards}
    for older in (_cards(earlier), _cards(fixed, FIXED)):
        there = {card.scenario for card in cards}
        cards += [card for card in older if card.scenario not in there]
    if not cards:
        return _NONE_YET
    cards.sort(key=lambda card: card.scenario)
    columns = ("member", "attack", "seeds", "attack success (%)")
    rows = [
        [
            f"`{scenario}`" + ("" if scenario in known else " \\*"),
            f"{own[0].attack}",
            f"{len(own)}",
            *_ways(own),
        ]
        for scenario, own in grouped(cards, lambda card: card.scenario).items()
    ]
    return table([*columns, *(f"{name} (%)" for name in TASKS.values())], rows)


def beside_block(first: Path, second: Path, label: str | None = None) -> str:
    """One way to purify beside another one, a row for each member that has both.

    Args:
        first: of a benchmark with the one.
        second: of a benchmark with the other.
        label: of the cards of the first benchmark that count; None counts all.

    Raises:
        InputError: a card cannot be read.
    """
    pairs = {(card.scenario, card.seed): card for card in _cards(first, label)}
    both = [(pairs[key], c) for c in _cards(second) if (key := (c.scenario, c.seed)) in pairs]
    if not both:
        return _NONE_YET
    rows = [
        [f"`{scenario}`", _beside(own, _aimed)]
        + [_beside(own, partial(_accuracy, task=task)) for task in TASKS]
        for scenario, own in grouped(both, lambda pair: pair[1].scenario).items()
    ]
    columns = ("attack success (%)", *(f"{name} (%)" for name in TASKS.values()))
    return table(["member", *columns], rows)


def grid_block(folder: Path) -> str:
    """Each defence beside the clean encoders, a row each, means over attacked encoders and seeds.

    Args:
        folder: of a benchmark with many defences.

    Raises:
        InputError: a card cannot be read.
    """
    cards = _cards(folder)
    if not cards:
        return _NONE_YET
    columns = ["defence", "members", "attack success, mean", "worst"]
    rows = []
    for label, own in grouped(cards, lambda card: card.label).items():
        success = _above(own, _aimed)
        kept = [_above(own, partial(_accuracy, task=task)) for task in TASKS]
        means = (f"{statistics.fmean(values):+.1f}" for values in (success, *kept))
        left, *accuracies = means
        members = f"{len({card.scenario for card in own})}"
        rows.append([f"`{label}`", members, left, f"{max(success):+.1f}", *accuracies])
    rows.sort(key=lambda row: float(row[2]))
    return f"{table([*columns, *TASKS.values()], rows)}\n\n{_WHOLE}"


def defense_blocks(folder: Path, pages: Iterable[str]) -> dict[str, str]:
    """What a method made of each attacked encoder, by page, a row each.

    Args:
        folder: of a benchmark with many defences.
        pages: names of defences, or of a family of them.

    Raises:
        InputError: a card cannot be read.
    """
    cards = _cards(folder)
    return {page: _defense([card for card in cards if _is_of(card, page)]) for page in pages}


def _defense(cards: Sequence[ResultCard]) -> str:
    if not cards:
        return "Not measured here yet."
    columns = ("defence", "member", "attack success (%)", *(f"{t} (%)" for t in TASKS.values()))
    rows = [
        [
            f"`{defense}`",
            f"`{member}`",
            *_ways(own),
        ]
        for (defense, member), own in grouped(
            cards, lambda card: (card.defense, card.scenario)
        ).items()
    ]
    return f"{_AT_A_SMALL_BUDGET}\n\n{table(columns, rows)}"


def _is_of(card: ResultCard, page: str) -> bool:
    family = page == "distillation" and card.defense.startswith("distill-")
    return family or card.defense == page


def leaderboard_page(folder: Path) -> str | None:
    """The page that `mimic report` makes of a benchmark; None where there are no cards."""
    cards = _cards(folder)
    told = f"{folder.parent.name}/{folder.name}"
    return render_leaderboard(gather(cards, folder=told)) if cards else None


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are aligned to the right."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_Found = dict[str, Evaluation]
"""Evaluations by task, of the first probe."""
_Rate = Callable[[_Found], float | None]


def _cards(folder: Path, label: str | None = None) -> list[ResultCard]:
    """Those with results, of any label or of one."""
    cards = load_cards(folder) if (folder / CARDS).is_dir() else ()
    return [card for card in cards if not card.failed and label in (None, card.label)]


def _found(card: ResultCard, who: str) -> _Found:
    results = card.results if who == "purified" else card.controls.get(who, {})
    probe = card.probes[0]
    return {task: found[probe] for task, found in results.items() if probe in found}


def _aimed(found: _Found) -> float | None:
    """Attack success on the task that the attack aims at."""
    rates = [one.attack_success_rate for one in found.values()]
    return next((rate for rate in rates if rate is not None), None)


def _accuracy(found: _Found, task: str) -> float | None:
    return found[task].accuracy if task in found else None


def _ways(cards: Sequence[ResultCard]) -> list[str]:
    """Attack success, and the accuracy on each task."""
    accuracies = [_way(cards, partial(_accuracy, task=task)) for task in TASKS]
    return [_way(cards, _aimed), *accuracies]


def _way(cards: Sequence[ResultCard], rate: _Rate) -> str:
    """As in `82.0 → 0.5 (0.1)`: attacked, purified, and clean in parentheses."""
    return _told([(card, "suspect") for card in cards], cards, rate)


def _beside(pairs: Sequence[tuple[ResultCard, ResultCard]], rate: _Rate) -> str:
    """As in `6.9 → 1.9 (1.7)`: the first way, the second, and clean in parentheses."""
    first, second = zip(*pairs, strict=True)
    return _told([(card, "purified") for card in first], second, rate)


def _told(
    before: Sequence[tuple[ResultCard, str]], after: Sequence[ResultCard], rate: _Rate
) -> str:
    """Means of what an encoder of some cards has, of the purified ones, and of the clean ones."""
    purified, clean = ([(card, who) for card in after] for who in ("purified", "clean"))
    first, second, floor = (
        percent([rate(_found(card, who)) for card, who in group])
        for group in (before, purified, clean)
    )
    return f"{first} → {second} ({floor})"


def percent(rates: Sequence[float | None]) -> str:
    """The mean of those that are known, without the sign."""
    known = [rate for rate in rates if rate is not None]
    return f"{100 * statistics.fmean(known):.1f}" if known else "?"


def _above(cards: Sequence[ResultCard], rate: _Rate) -> list[float]:
    """In how many points the purified encoders exceed the clean ones, where both are known."""
    pairs = [(rate(_found(card, "purified")), rate(_found(card, "clean"))) for card in cards]
    return [100 * (own - clean) for own, clean in pairs if own is not None and clean is not None]
