"""What `mimic purify` tells of its result: in JSON, and in lines for people."""

from typing import TYPE_CHECKING, Any

from rich.console import Console

from mimic.cli.output import line, stage_table

if TYPE_CHECKING:
    from mimic.images.imageset import ImageSet
    from mimic.verification.attempts import Outcome


def purified_report(
    outcome: "Outcome", method: str, images: "ImageSet", cosine: float
) -> dict[str, Any]:
    """What goes into the manifest and the JSON.

    Args:
        outcome: of all attempts.
        method: its name.
        images: what it was purified with.
        cosine: mean of the features before and after.
    """
    from mimic.defenses.channels import silent_channels

    done, last = outcome.purification, outcome.attempts[-1]
    found = None if done.localization is None else done.localization.as_dict()
    numbers = {} if outcome.verification is None else outcome.verification.as_dict()
    return {
        "method": method,
        "images_used": len(images),
        "skipped": list(images.skipped),
        "epochs": last.settings["epochs"],
        "seed": last.settings["seed"],
        "seconds": done.history.seconds + (found["seconds"] if found else 0.0),
        "images_per_second": done.history.images_per_second,
        "estimator": found["estimator"] if found else None,
        "stages": found["stages"] if found else [],
        "changes": [change.as_dict() for change in done.changes],
        "silent_channels": silent_channels(done.encoder),
        "verification": numbers
        | {
            "verdict": last.verdict,
            "reasons": list(last.reasons),
            "mean_cosine": cosine,
        },
        "attempts": [attempt.as_dict() for attempt in outcome.attempts],
    }


def show_purified(console: Console, data: dict[str, Any], encoder: str) -> None:
    """Lines for people: what was done, where the files are, and the verdict."""
    line(
        console,
        f"Purified '{encoder}' with {data['method']}: {data['images_used']} images, "
        f"{data['epochs']} epochs, {data['seconds']:.1f} s "
        f"({data['images_per_second']:.0f} images per second).",
    )
    if data["stages"]:
        console.print(stage_table(data["stages"]))
    else:
        line(console, f"{data['method']} does not measure mutual information.")
    if data["changes"]:
        shares = (f"{change['kind']} {100 * change['share']:.0f} %" for change in data["changes"])
        line(console, f"Share of the views under each kind of change: {', '.join(shares)}.")
    if data["silent_channels"]:
        line(console, f"{data['silent_channels']} channels are switched off.")
    if data["drop_in"] not in (None, data["encoder"]):
        line(console, f"  {data['drop_in']}  load it where '{encoder}' was loaded")
    line(console, f'  {data["encoder"]}  for mimic: mimic.load_encoder("{data["encoder"]}")')
    if data["report"] is not None:
        line(console, f"  {data['report']}  the report for people, {data['card']} the model card")
    line(console, f"  {data['manifest']}  what went in, what came out, and how")
    _show_verdict(console, data)


def _show_verdict(console: Console, data: dict[str, Any]) -> None:
    verification, attempts = data["verification"], data["attempts"]
    again = f", after {len(attempts)} attempts" if len(attempts) > 1 else ""
    line(console, f"Verdict: {verification['verdict'].replace('_', ' ')}{again}.")
    for reason in verification["reasons"]:
        line(console, f"  - {reason}")
    line(
        console,
        "The features before and after have a mean cosine of "
        f"{verification['mean_cosine']:.3f} on the clean images.",
    )
