"""What a scan found, for every form that a finding is told in: a page, SARIF."""

from collections.abc import Mapping
from typing import Any

from mimic.report.figures import percent


def best_trigger(scan: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one that is least like those of clean encoders."""
    found: Mapping[str, Any] = min(scan["triggers"], key=lambda one: (one["p_value"], -one["gain"]))
    return found


def effect_of(trigger: Mapping[str, Any]) -> str:
    """What the best trigger of a family does, as a verb and what follows it.

    Args:
        trigger: one of "triggers" of `Scan.as_dict`.
    """
    if trigger["family"] == "mark":
        distance = f"{trigger['displaced']:.1f} standard deviations"
        return f"moves features {distance} away from those of images without it"
    return f"takes away {percent(trigger['forgotten'][0])} of what tells images apart"
