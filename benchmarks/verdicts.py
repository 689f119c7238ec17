"""How often the verdict of a verification is right, over purifications whose truth is known.

    python benchmarks/verdicts.py [FOLDER ...]

Each FOLDER is one that `mimic bench` wrote, with its encoders kept; the runs of
`benchmarks/reference.py` are looked at without being named. Suspects are found by their SHA-256 in
zoo/ and runs/bank. Every purification is verified with 2,000 images that it has not seen, without
labels and without its trigger. Each verdict is kept in results/verdicts, whatever becomes of the
encoder, and results/verdicts.json counts all that are there.

A purification is a success where its accuracy is at most 5 points below that of the suspect on
every task of its card, and its attack success rate at most 5 points above that of the encoder
before the attack on those that the attack aims at: no purification knows what the attack has cost.
The rule of today judges what was measured then, so a changed rule needs no new searches.
Images are read from the folder named by MIMIC_DATA (default ../shared/data).
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from mimic.benchmark import ResultCard, Results
from mimic.benchmark.cards import CARDS, read_result
from mimic.benchmark.cells import encoder_file
from mimic.benchmark.meter import commit
from mimic.detection.scan import Scan
from mimic.encoders.loading import load_encoder
from mimic.files import sha256, write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.seeds import seed_of
from mimic.training import Trainer
from mimic.verification.doors import OldDoor
from mimic.verification.rule import Evidence, decide
from mimic.verification.verify import verify
from mimic.zoo.members import provenance

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
KEPT, RESULT = ROOT / "results" / "verdicts", ROOT / "results" / "verdicts.json"
IMAGES, POINTS = 2000, 5
CALIBRATED_ON = ("badencoder", "inactive")
"""Attacks that the thresholds of the rule have seen; all others are held out."""


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


def benched(folder: Path, suspects: Mapping[str, Path]) -> Iterator[Pair]:
    """Pairs of a benchmark; cells that failed or whose truth is not known are left out."""
    for path in sorted((folder / CARDS).glob("*.json")):
        card = read_result(path)
        after = encoder_file(path.parent, path.stem)
        rates = _card_rates(card)
        if card.attack is None or not rates or not after.exists():
            continue
        if card.encoder_sha256 not in suspects:
            print(f"{path.stem}: its suspect is nowhere", flush=True)
            continue
        yield Pair(
            name=f"{folder.name}_{path.stem}",
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


@cache
def unseen(source: str, used: int, seed: int, size: int | None) -> ImageSet:
    """Images of the same source that the purification did not get."""
    images = open_images(f"{DATA}/{source}", size=size).unlabelled()
    generator = torch.Generator().manual_seed(seed_of("defender", seed))
    order = torch.randperm(len(images), generator=generator)  # as `ImageSet.sample` draws them
    return replace(images.subset(order[used : used + IMAGES]), name=source)


class Judge:
    """Verifies pairs; a suspect is searched once for all that are judged by the same images."""

    def __init__(self) -> None:
        self.scans: dict[tuple[Any, ...], Scan] = {}

    def __call__(self, pair: Pair) -> dict[str, Any]:
        before, after = load_encoder(pair.before), load_encoder(pair.after)
        key = (pair.before, pair.images, pair.used, pair.seed)
        found = verify(
            before,
            after,
            unseen(pair.images, pair.used, pair.seed, before.image_size),
            scan_before=self.scans.get(key),
            trainer=Trainer(),
        )
        self.scans[key] = found.scan_before
        return found.as_dict()


def keep(pair: Pair, judge: Judge) -> dict[str, Any]:
    """Verify a pair unless that has been done, and keep what is found with the truth."""
    digests = {"before_sha256": sha256(pair.before), "after_sha256": sha256(pair.after)}
    # a card that was made again has another encoder, and the verdict on the first one still counts
    path = KEPT / f"{pair.name}_{digests['after_sha256'][:8]}.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if any(kept.get(name) != digest for name, digest in digests.items()):
        truth = {
            "name": pair.name,
            "member": pair.member,
            "attack": pair.attack,
            "defense": pair.defense,
            "rates": pair.rates,
        }
        made = provenance() | {"commit": commit()}
        kept = truth | digests | {"verification": judge(pair), "provenance": made}
        write_json(path, kept)
    return kept


def succeeded(rates: Rates) -> bool:
    """Whether a purification is a success; see above."""

    def points(own: Mapping[str, Mapping[str, float | None]], what: str, over: str) -> float:
        return 100 * ((own["purified"][what] or 0) - (own[over][what] or 0))

    return all(
        points(own, "accuracy", "suspect") >= -POINTS
        and points(own, "attack_success_rate", "clean") <= POINTS
        for own in rates.values()
    )


def evidence(found: Mapping[str, Any]) -> Evidence:
    """The numbers that the rule decides by, of a verification that was written down."""
    before, after = found["scan_before"], found["scan_after"]
    told = [field.name for field in fields(OldDoor)]
    return Evidence(
        suspicious_before=before["verdict"] == "suspicious",
        p_values_before={one["family"]: one["p_value"] for one in before["triggers"]},
        doors=[OldDoor(**{name: door[name] for name in told}) for door in found["old_doors"]],
        suspicious_after=after["verdict"] == "suspicious",
        score_after=after["score"],
        p_value_after=after["p_value"],
        mutual_neighbours=found["utility"]["mutual_neighbours"]["value"],
    )


def row_of(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The truth, and what the rule says today, with the numbers that it says it by."""
    found = evidence(kept["verification"])
    decision = decide(found)
    return {
        **{name: kept[name] for name in ("name", "member", "attack", "defense")},
        "success": succeeded(kept["rates"]),
        "rates": kept["rates"],
        "verdict": decision.verdict,
        "reasons": decision.reasons,
        "residues": {door.family: door.residue for door in found.doors},
        "p_values_before": found.p_values_before,
        "p_value_before": kept["verification"]["scan_before"]["p_value"],
        "p_value_after": found.p_value_after,
        "mutual_neighbours": found.mutual_neighbours,
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How often the verdict is right; where it is open it is neither right nor wrong."""

    def count(verdict: str, *, success: bool) -> int:
        return sum(row["verdict"] == verdict and row["success"] is success for row in rows)

    right = count("accepted", success=True) + count("not_accepted", success=False)
    wrong = count("accepted", success=False) + count("not_accepted", success=True)
    return {
        "pairs": len(rows),
        "successes": sum(row["success"] for row in rows),
        "agreement": right / (right + wrong) if right + wrong else None,
        "failed_but_accepted": count("accepted", success=False),
        "succeeded_but_not_accepted": count("not_accepted", success=True),
        "undecided_successes": count("undecided", success=True),
        "undecided_failures": count("undecided", success=False),
    }


def main() -> None:
    """Verify what has no verdict yet, and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    suspects, judge = known_suspects(), Judge()
    pairs = [*referenced(suspects)]
    for folder in asked.folders:
        pairs += benched(folder, suspects)
    # those that share the search of their suspect follow one another
    for pair in sorted(pairs, key=lambda pair: (pair.before, pair.images, pair.used, pair.seed)):
        row = row_of(keep(pair, judge))
        print(pair.name, "success" if row["success"] else "failure", row["verdict"], flush=True)
    rows = [row_of(json.loads(path.read_text())) for path in sorted(KEPT.glob("*.json"))]
    held_out = [row for row in rows if row["attack"] not in CALIBRATED_ON]
    settings = {"images": IMAGES, "points": POINTS, "calibrated_on": list(CALIBRATED_ON)}
    counts = {
        "all": summary(rows),
        "calibrated": summary([row for row in rows if row["attack"] in CALIBRATED_ON]),
        "held_out": summary(held_out),
    }
    write_json(RESULT, settings | {"counts": counts, "pairs": rows})


if __name__ == "__main__":
    main()
