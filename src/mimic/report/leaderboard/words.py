"""Words of a leaderboard: its verdict, what to know before believing it, and who took part."""

from collections.abc import Mapping

from mimic.benchmark.statistics import smallest_p
from mimic.report.figures import percent
from mimic.report.leaderboard.data import Leaderboard, Row
from mimic.report.leaderboard.layout import Index


def kinds_of(board: Leaderboard) -> dict[str, str]:
    """What each label is, as `mimic.defenses` knows it: "ours", "control" or "baseline"."""
    from mimic.defenses import SUMMARIES

    return {
        one.label: "ours"
        if one.label == board.reference
        else "control"
        if SUMMARIES.get(one.defense, "").startswith("control")
        else "baseline"
        for one in board.entrants
    }


def verdict(index: Index) -> str:
    """Who ranks first in what is shown first."""
    ranks = sorted(
        (r for r in index.board.ranks if (r.view, r.scenario) == (index.view, index.scope)),
        key=lambda rank: rank.overall,
    )
    if not ranks:
        return "No defence has a result in every scenario yet"
    best = [rank.label for rank in ranks if rank.overall == ranks[0].overall]
    where = (
        f"over {ranks[0].scenarios} scenarios" if index.scope is None else f"against {index.scope}"
    )
    number = f"{len(ranks)} defence{'s' * (len(ranks) > 1)}"
    if len(best) == 1:
        return f"{best[0]} ranks first of {number} {where}"
    return f"{', '.join(best[:-1])} and {best[-1]} share the first rank of {number} {where}"


def lead(index: Index) -> str:
    """The numbers of the first, of the controls, and of the reference where it is not the first."""
    rows = {
        (row.control, row.label): row
        for row in index.board.rows
        if (row.view, row.scenario) == (index.view, index.scope)
    }
    ranks = sorted(
        (r for r in index.board.ranks if (r.view, r.scenario) == (index.view, index.scope)),
        key=lambda rank: rank.overall,
    )
    shown = [(rank.label, rows[False, rank.label]) for rank in ranks[:1]]
    reference = index.board.reference
    if reference is not None and (False, reference) in rows and reference not in dict(shown):
        place = next((n for n, rank in enumerate(ranks, 1) if rank.label == reference), None)
        name = reference if place is None else f"{reference} (number {place})"
        shown.append((name, rows[False, reference]))
    names = {"clean": "the clean encoder", "suspect": "the attacked one"}
    shown += [(name, rows[True, who]) for who, name in names.items() if (True, who) in rows]
    view = index.view
    amount = f"{view.amount} of the images" if view.amount.endswith("%") else view.amount
    told = ", ".join(f"{name} {_told(row)}" for name, row in shown)
    return f"On {view.task}, with the {view.probe} probe and {amount}: {told}."


def notes(board: Leaderboard) -> tuple[str, ...]:
    """What a reader should know."""
    said = [
        "The goal is the clean encoder's corner: its accuracy, at its attack success. That is not "
        "zero, because a trigger also hides a part of the image.",
        "Images of the target class are left out of the attack success rate.",
        "Intervals are Student's, over seeds: choice of clean images, defence and head. One seed "
        "has none. They do not cover attack and pre-training, of which each scenario has one.",
        "A mean over scenarios is one over these scenarios, and so is every rank and test; none "
        "speaks about attacks that are not here.",
    ]
    if board.comparisons:
        most = max(board.comparisons, key=lambda one: one.difference.count)
        others = len({one.label for one in board.comparisons})
        least = smallest_p(most.difference.count)
        said.append(
            f"The p-values compare with {board.reference}. With {most.units} none can be below "
            f"{least:.2g}, and after the correction for {others} defence{'s' * (others > 1)} not "
            f"below {min(1.0, others * least):.2g}. What a seed does to all scenarios alike, such "
            "as the choice of clean images, these tests and their intervals do not cover."
        )
    elif board.reference is None:
        said.append("mimic itself did not take part, so there is nothing to compare with.")
    if board.failures:
        said.append("Failed cells are listed below; they count in no mean and no rank.")
    return tuple(said)


def entrant_notes(board: Leaderboard) -> Mapping[str, str]:
    """What is said beside a label: that it is a control, or which defence it is."""
    kinds = kinds_of(board)
    return {
        one.label: "control"
        if kinds[one.label] == "control"
        else f"is {one.defense}"
        if one.defense != one.label
        else ""
        for one in board.entrants
    }


def _told(row: Row) -> str:
    success = row.attack_success_rate
    left = "" if success is None else f" and {percent(success.mean)} attack success"
    return f"{percent(row.accuracy.mean)} accuracy{left}"
