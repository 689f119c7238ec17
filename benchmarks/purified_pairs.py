"""Purifications whose truth is known: what they were made from, and what encoders reach."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mimic.benchmark import ResultCard, Results
from mimic.benchmark.cards import CARDS, read_result
from mimic.benchmark.cells import encoder_file
from mimic.files import sha256

ROOT = Path(__file__).resolve().parent.parent
POINTS = 5
"""That a success may lose of accuracy, and leave of attack success."""

Rates = dict[str, dict[str, dict[str, float | None]]]
"""Accuracy and attack success rate by task and encoder: "purified", "suspect", and "clean", the one
before the attack. There is no success rate where the attack does not aim at the task."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A purification with its truth.

    Attributes:
        name: of its card, with the folder that it is in.
        member: of the zoo or the bank, that was purified.
        attack: on the suspect.
        defense: that purified it.
        before: file of the suspect.
        after: file of the purified encoder.
        images: source of the clean images.
        used: how many of them the purification got.
        seed: that chose them.
        rates: of a task that the attack aims at, at least.
    """

    name: str
    member: str
    attack: str
    defense: str
    before: Path
    after: Path
    images: str
    used: int
    seed: int
    rates: Rates


def kept(folder: Path) -> Iterator[tuple[ResultCard, Path]]:
    """Cards of a benchmark whose purified encoders were kept, each with the file of its encoder."""
    for path in sorted((folder / CARDS).glob("*.json")):
        file = encoder_file(path.parent, path.stem)
        if file.exists():
            yield read_result(path), file


def benched(folder: Path, suspects: Mapping[str, Path]) -> Iterator[Pair]:
    """Pairs of a benchmark; cells that failed or whose truth is not known are left out."""
    for card, after in kept(folder):
        rates = _card_rates(card)
        if card.attack is None or not rates:
            continue
        if card.encoder_sha256 not in suspects:
            print(f"{after.stem}: its suspect is nowhere", flush=True)
            continue
        yield Pair(
            name=f"{folder.name}_{after.stem}",
            member=card.scenario,
            attack=card.attack,
            defense=card.label,
            before=suspects[card.encoder_sha256],
            after=after,
            images=card.images,
            used=card.images_used,
            seed=card.seed,
            rates=rates,
        )


def referenced(suspects: Mapping[str, Path]) -> Iterator[Pair]:
    """Pairs of `benchmarks/reference.py`."""
    suspect, clean = (
        json.loads((ROOT / "zoo" / f"{member}.json").read_text())["expected"]
        for member in ("small-badencoder", "small-clean")
    )
    for path in sorted((ROOT / "results" / "small-badencoder").glob("*.json")):
        card = json.loads(path.read_text())
        after = ROOT / "runs" / path.stem / "purified.safetensors"
        if after.exists():
            found = {"purified": card["results"], "suspect": suspect, "clean": clean}
            yield Pair(
                name=path.stem,
                member="small-badencoder",
                attack="badencoder",
                defense=card["variant"],
                before=suspects[card["encoder_sha256"]],
                after=after,
                images=card["images"]["source"],
                used=card["images"]["count"],
                seed=card["seed"],
                rates={
                    task: {encoder: _rates(one[task]) for encoder, one in found.items()}
                    for task in card["results"]
                },
            )


def _rates(found: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: found[name] for name in ("accuracy", "attack_success_rate")}


def _card_rates(card: ResultCard) -> Rates:
    """Of all tasks and probes; empty where the card does not know those of its controls."""
    encoders: dict[str, Results] = {"purified": card.results} | dict(card.controls)
    found = {
        f"{task}, {probe}": {
            encoder: _rates(asdict(encoders[encoder][task][probe]))
            for encoder in ("purified", "suspect", "clean")
            if probe in encoders.get(encoder, {}).get(task, {})
        }
        for task, probes in card.results.items()
        for probe in probes
    }
    known = {task: own for task, own in found.items() if len(own) == 3}
    aimed = [own for own in known.values() if own["purified"]["attack_success_rate"] is not None]
    told = bool(aimed) and all(own["clean"]["attack_success_rate"] is not None for own in aimed)
    return known if told else {}


def known_suspects() -> dict[str, Path]:
    """Files of encoders by their SHA-256."""
    return {
        sha256(path): path
        for folder in (ROOT / "zoo", ROOT / "runs" / "bank")
        for path in sorted(folder.glob("*.safetensors"))
    }


def succeeded(rates: Rates) -> bool:
    """Whether a purification loses and leaves little enough; see `benchmarks/verdicts.py`."""

    def points(own: Mapping[str, Mapping[str, float | None]], what: str, over: str) -> float:
        return 100 * ((own["purified"][what] or 0) - (own[over][what] or 0))

    return all(
        points(own, "accuracy", "suspect") >= -POINTS
        and points(own, "attack_success_rate", "clean") <= POINTS
        for own in rates.values()
    )
