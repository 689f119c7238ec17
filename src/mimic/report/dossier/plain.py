"""A dossier as plain values for JSON: the same facts as on the page, without pictures."""

from dataclasses import asdict
from typing import Any

from mimic.report.dossier.facts import FORMAT, Dossier, Neighbours, finite
from mimic.report.dossier.words import verdict


def dossier_json(dossier: Dossier) -> dict[str, Any]:
    """Plain values; numbers are finite or null."""
    summary, tone = verdict(dossier)
    attention = dossier.attention
    return finite(
        {
            "format": FORMAT,
            "kind": dossier.kind,
            "summary": summary,
            "tone": tone,
            "encoders": [asdict(subject) for subject in dossier.subjects],
            # that of a verification is inside it
            "scan": dossier.scan if dossier.verification is None else None,
            "verification": dossier.verification,
            "clean_scores": dossier.clean_scores,
            "shown_trigger": dossier.shown_trigger,
            "features": [asdict(found) for found in dossier.features],
            "attention_agreement": None if attention is None else attention.agreement,
            "neighbours": None if dossier.neighbours is None else _neighbours(dossier.neighbours),
            "localization": dossier.localization,
            "changes": dossier.changes,
            "losses": dossier.losses,
            "purification": dossier.purification,
            "settings": dossier.settings,
            "images": dossier.images,
            "seed": dossier.seed,
            "versions": dossier.versions,
            "machine": dossier.machine,
            "command": dossier.command,
        }
    )


def _neighbours(found: Neighbours) -> dict[str, Any]:
    queries = [
        {
            "position": query.position,
            "rows": [
                {
                    "role": row.role,
                    "triggered": row.triggered,
                    "positions": row.positions,
                    "same": row.same,
                }
                for row in query.rows
            ],
        }
        for query in found.queries
    ]
    return {"images": found.images, "kept_with_trigger": found.kept, "queries": queries}
