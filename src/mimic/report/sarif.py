"""SARIF: findings of a scan in the format that code-scanning pages show.

Static Analysis Results Interchange Format 2.1.0, OASIS Standard, 2020.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mimic.report.finding import best_trigger, effect_of

VERSION = "2.1.0"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RULE = "MIMIC001"
_FINGERPRINT = "encoderSha256/v1"

_RULE: Mapping[str, Any] = {
    "id": RULE,
    "name": "SuspectedEncoderBackdoor",
    "shortDescription": {"text": "The image encoder behaves as if it carried a backdoor."},
    "fullDescription": {
        "text": "A trigger was found that takes away what tells images apart, or moves images to "
        "where none lies, by more than any does on encoders without a backdoor. Whoever builds on "
        "the encoder may inherit it."
    },
    "help": {
        "text": "Purify the encoder with clean images ('mimic purify'), or take another one. The "
        "report of the scan shows the trigger and what it does."
    },
    "defaultConfiguration": {"level": "error"},
    "properties": {"tags": ["security", "machine-learning", "backdoor"]},
}


def scan_sarif(
    scan: Mapping[str, Any], *, encoder: str, sha256: str | None, tool_version: str
) -> dict[str, Any]:
    """A scan as a SARIF log: one result where the encoder is suspicious, none where it is clean.

    Args:
        scan: as `Scan.as_dict` tells it.
        encoder: its file.
        sha256: of the file, or None.
        tool_version: of mimic.
    """
    uri = location_of(encoder)
    artifact: dict[str, Any] = {"location": {"uri": uri}, "roles": ["analysisTarget"]}
    if sha256 is not None:
        artifact["hashes"] = {"sha-256": sha256}
    suspicious = scan["verdict"] == "suspicious"
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {"driver": {"name": "mimic", "version": tool_version, "rules": [_RULE]}},
                "invocations": [{"executionSuccessful": True, "exitCode": int(suspicious)}],
                "artifacts": [artifact],
                "results": [_result(scan, uri, sha256)] if suspicious else [],
            }
        ],
    }


def location_of(file: str) -> str:
    """The URI of a file: relative to the current folder where it lies below, else absolute."""
    path = Path(file)
    if not path.exists():
        return quote(file)
    path, here = path.resolve(), Path.cwd().resolve()
    if path.is_relative_to(here):
        return quote(path.relative_to(here).as_posix())
    return path.as_uri()


def _result(scan: Mapping[str, Any], uri: str, sha256: str | None) -> dict[str, Any]:
    best = best_trigger(scan)
    result: dict[str, Any] = {
        "ruleId": RULE,
        "ruleIndex": 0,
        "level": "error",
        "message": {
            "text": "The image encoder behaves as if it carried a backdoor. "
            f"The best trigger that was found, {best['description']}, {effect_of(best)} "
            f"(score {scan['score']:.1f}, p = {scan['p_value']:.3f})."
        },
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri, "index": 0},
                    # a finding is about the whole file, but pages show none without a line
                    "region": {"startLine": 1},
                }
            }
        ],
        "properties": {
            "score": scan["score"],
            "pValue": scan["p_value"],
            "falsePositiveRate": scan["false_positive_rate"],
            "calibration": scan["calibration"],
            "triggers": scan["triggers"],
        },
    }
    if sha256 is not None:
        result["partialFingerprints"] = {_FINGERPRINT: sha256}
    return result
