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
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from purified_pairs import POINTS, ROOT, Pair, benched, known_suspects, referenced, succeeded

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

DATA = Path(os.environ.get("MIMIC_DATA", ROOT.parent / "shared" / "data"))
KEPT, RESULT = ROOT / "results" / "verdicts", ROOT / "results" / "verdicts.json"
IMAGES = 2000
CALIBRATED_ON = ("badencoder", "inactive")
"""Attacks that the thresholds of the rule have seen; all others are held out."""


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
