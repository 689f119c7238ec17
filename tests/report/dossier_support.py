"""A dossier that was never gathered, with values that are easy to find again on a page."""

from dataclasses import replace
from typing import Any

import torch

from mimic.report.dossier.facts import (
    Attention,
    AttentionImage,
    AttentionRow,
    Changed,
    Dossier,
    Example,
    FeatureMap,
    Kind,
    NeighbourRow,
    Neighbours,
    Query,
    Role,
    Subject,
    Trigger,
)
from mimic.report.pictures import data_uri

FAMILIES = {"patch": "a patch over 7 % of the image", "pattern": "a pattern at a PSNR of 26 dB"}
ROLES: tuple[Role, ...] = ("before", "after")


def picture(seed: int = 0) -> str:
    """Noise of 8x8 pixels."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (3, 8, 8), generator=generator)
    return data_uri(pixels.to(torch.uint8))


def found_trigger(family: str, p_value: float) -> dict[str, Any]:
    return {
        "family": family,
        "description": FAMILIES[family],
        "p_value": p_value,
        "gain": 1 / p_value,
        "forgotten": [0.951, 0.9],
        "cosine_before": 0.53,
        "cosine_after": 0.98,
        "displaced": 3.4,
    }


def scanned(verdict: str = "suspicious", *, score: float = 31.7, p_value: float = 0.04) -> Any:
    """What `Scan.as_dict` gives."""
    return {
        "verdict": verdict,
        "score": score,
        "p_value": p_value,
        "false_positive_rate": 0.05,
        "triggers": [found_trigger("patch", p_value), found_trigger("pattern", 0.6)],
        "images_used": 400,
        "calibration": "24 clean encoders: made up",
        "seconds": 52.0,
    }


def verified(verdict: str = "accepted", *, residue: float = 0.03) -> dict[str, Any]:
    """What `Verification.as_dict` gives."""
    kept = {"value": 0.82, "ci95": [0.79, 0.85], "yardstick": 0.38}
    return {
        "verdict": verdict,
        "reasons": ["the first reason: with 7 % of numbers", "another reason"],
        "thresholds": {"closed": 0.1, "open": 0.2, "kept": 0.6, "lost": 0.5},
        "old_doors": [
            {
                "family": family,
                "description": description,
                "before": 0.937,
                "natural_before": 0.25,
                "after": 0.115,
                "natural_after": 0.085,
                "opened": 0.687,
                "residue": residue,
            }
            for family, description in FAMILIES.items()
        ],
        "scan_before": scanned(),
        "scan_after": scanned("clean", score=0.2, p_value=0.76),
        "utility": {
            "cka": kept,
            "mutual_neighbours": kept,
            "effective_rank": kept,
            "effective_rank_before": 80.0,
            "effective_rank_after": 70.0,
            "cosine": None,
            "n": 400,
            "seconds": 2.0,
        },
        "canary": None,
        "seconds": 120.0,
    }


def canary() -> dict[str, Any]:
    """What `Canary.as_dict` gives."""
    return {
        "trigger": "a patch of 9x9 pixels",
        "untouched": {"triggered": 0.31, "plain": 0.32},
        "implanted": {"triggered": 0.97, "plain": 0.33},
        "purified": {"triggered": 0.34, "plain": 0.35},
        "images": 1600,
        "seconds": 300.0,
        "took": True,
        "surviving": 0.123,
    }


def dossier(kind: Kind = "scan", **changes: Any) -> Dossier:
    """Of a scan with a finding, an accepted verification, or a purification with all there is."""
    roles = ROLES[:1] if kind == "scan" else ROLES
    trained = kind == "purification"
    made = Dossier(
        kind=kind,
        subjects=tuple(_subject(role) for role in roles),
        settings={"epochs": 2, "clone_weight": 2.0} if trained else {},
        images={"name": "pictures", "given": 800, "looked_at": 256},
        seed=7,
        versions={"mimic": "0.1.0", "torch": "2.13", "python": "3.11"},
        machine={"device": "cpu", "precision": "32-true", "threads": 2},
        command=f"mimic {kind} before.safetensors --images pictures",
        scan=scanned(),
        verification=None if kind == "scan" else verified(),
        clean_scores=(0.0, 0.4, 1.2, 5.0),
        triggers=tuple(
            Trigger(found=found, examples=(_example(), _example()))
            for found in scanned()["triggers"]
        ),
        shown_trigger=FAMILIES["patch"],
        features=tuple(_features(role) for role in roles),
        attention=_attention(roles),
        neighbours=_neighbours(roles),
    )
    if trained:
        made = replace(
            made,
            localization=_localization(),
            changes=(
                {
                    "kind": "wave",
                    "share": 0.25,
                    "gain": 4.3,
                    "deviation": 4.6,
                    "description": "waves at a PSNR of 26 dB",
                },
            ),
            changed=Changed(picture=picture(4), rows={"wave": (picture(5), picture(6))}),
            losses={"clone": (0.9, 0.2), "layer1": (0.5, 0.1)},
            purification={"epochs": 2, "steps": 8, "seconds": 3.0, "images_per_second": 100.0},
        )
    return replace(made, **changes)


def _subject(role: Role) -> Subject:
    return Subject(
        role=role,
        name=f"{role}.safetensors",
        sha256=role.encode().hex().ljust(64, "0"),
        architecture="resnet18",
        image_size=32,
        dimension=256,
        parameters=1_234_567,
    )


def _example() -> Example:
    return Example(clean=picture(1), triggered=picture(2), difference=picture(3), amplified=2.5)


def _features(role: Role) -> FeatureMap:
    return FeatureMap(
        role=role,
        clean=((0.1, 0.2), (0.3, -0.4), (-0.5, 0.1)),
        triggered=((0.7, 0.7), (0.7, 0.71)),
        explained=0.532,
        shared=True,
    )


def _attention(roles: tuple[Role, ...]) -> Attention:
    stages = ("layer1", "layer$2", "layer<3>", "layer4")
    return Attention(
        stages=stages,
        images=tuple(
            AttentionImage(
                picture=picture(4),
                triggered=triggered,
                rows=tuple(
                    AttentionRow(role=role, maps=tuple(map(picture, range(len(stages)))))
                    for role in roles
                ),
            )
            for triggered in (False, True)
        ),
        agreement={"layer1": 0.91} if len(roles) > 1 else {},
    )


def _neighbours(roles: tuple[Role, ...]) -> Neighbours:
    same = (True, False, True, False, True)
    return Neighbours(
        queries=tuple(
            Query(
                position=position,
                picture=picture(position),
                rows=tuple(
                    NeighbourRow(
                        role=role,
                        triggered=triggered,
                        positions=(5, 6, 7, 8, 9),
                        pictures=tuple(map(picture, range(5))),
                        same=same,
                    )
                    for role in roles
                    for triggered in (False, True)
                ),
            )
            for position in range(2)
        ),
        kept=dict.fromkeys(roles, 0.037),
        images=256,
    )


def _localization() -> dict[str, Any]:
    stages = [
        {"name": name, "mutual_information": 1.5, "standard_error": 0.1, "weight": 0.5}
        for name in ("layer1", "layer$2")
    ]
    return {"estimator": "infonce", "images": 400, "seconds": 1.0, "stages": stages}
