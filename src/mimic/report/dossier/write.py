"""Write reports: the page for people, the same facts as JSON, and what other programs read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mimic.defenses.base import Purification
from mimic.detection.scan import Scan
from mimic.encoders.encoder import Encoder
from mimic.files import write_json, write_text
from mimic.images.imageset import ImageSet
from mimic.report.dossier.facts import Dossier, Role
from mimic.report.dossier.gather import Context, gather
from mimic.report.dossier.page import dossier_page
from mimic.report.dossier.plain import dossier_json
from mimic.report.model_card import CardFacts, model_card
from mimic.report.page import render
from mimic.report.sarif import scan_sarif
from mimic.verification.verify import Verification

PAGE, FACTS, SARIF, CARD = "report.html", "report.json", "scan.sarif", "README.md"


def write_scan_report(
    folder: Path, encoder: Encoder, images: ImageSet, found: Scan, *, context: Context
) -> dict[str, str]:
    """Write the report of a scan: `report.html`, `report.json` and `scan.sarif`.

    Args:
        folder: where to.
        encoder: that was scanned; left as it is.
        images: that it was scanned with, or others of their kind.
        found: what the scan says.
        context: how it came about.

    Returns:
        The files by name: report, facts, sarif.

    Raises:
        InputError: the folder cannot be written, or the images do not fit the encoder.
        RunError: the disk is full.
    """
    dossier = gather("scan", {"before": encoder}, images, context=context, scan=found)
    written = _write(folder, dossier)
    sarif = folder / SARIF
    subject = dossier.subject("before")
    log = scan_sarif(
        found.as_dict(),
        encoder=subject.name,
        sha256=subject.sha256,
        tool_version=dossier.versions["mimic"],
    )
    write_json(sarif, log)
    return {**written, "sarif": str(sarif)}


def write_verification_report(
    folder: Path,
    before: Encoder,
    after: Encoder,
    images: ImageSet,
    found: Verification,
    *,
    context: Context,
) -> dict[str, str]:
    """Write the report of a verification: `report.html` and `report.json`.

    Args:
        folder: where to.
        before: the suspicious encoder; left as it is.
        after: the purified one; likewise.
        images: clean ones.
        found: what the verification says.
        context: how it came about.

    Returns:
        The files by name: report, facts.

    Raises:
        InputError: the folder cannot be written, or the images do not fit an encoder.
        RunError: the disk is full.
    """
    encoders: Mapping[Role, Encoder] = {"before": before, "after": after}
    dossier = gather("verification", encoders, images, context=context, verification=found)
    return _write(folder, dossier)


def write_purification_report(
    folder: Path,
    *,
    before: Encoder,
    images: ImageSet,
    purification: Purification,
    verification: Verification | None,
    context: Context,
    method: str,
    drop_in: str | None,
    others: Sequence[str] = (),
) -> dict[str, str]:
    """Write the report of a purification: `report.html`, `report.json` and a model card.

    Args:
        folder: where to; the purified encoder lies there.
        before: the suspicious encoder; left as it is.
        images: clean ones.
        purification: what the method gave back.
        verification: what was found about it; None where nothing was verified.
        context: how it came about; its `files` name the purified file, and its settings are those
            of the method.
        method: its name.
        drop_in: name of the file that replaces the one that came in, or None.
        others: places in it where the encoder sits a second time, as it came in.

    Returns:
        The files by name: report, facts, card.

    Raises:
        InputError: the folder cannot be written, or the images do not fit an encoder.
        RunError: the disk is full.
    """
    dossier = gather(
        "purification",
        {"before": before, "after": purification.encoder},
        images,
        context=context,
        verification=verification,
        purification=purification,
    )
    written = _write(folder, dossier)
    card = folder / CARD
    write_text(card, model_card(_card(dossier, method, drop_in, others)))
    return {**written, "card": str(card)}


def _card(dossier: Dossier, method: str, drop_in: str | None, others: Sequence[str]) -> CardFacts:
    before, after = dossier.subject("before"), dossier.subject("after")
    return CardFacts(
        encoder=Path(after.name).name,
        sha256=after.sha256,
        drop_in=drop_in,
        others=others,
        original=before.name,
        original_sha256=before.sha256,
        architecture=after.architecture,
        image_size=after.image_size,
        dimension=after.dimension,
        method=method,
        images=dossier.images["given"],
        verification=dossier.verification,
        version=dossier.versions["mimic"],
    )


def _write(folder: Path, dossier: Dossier) -> dict[str, str]:
    page, facts = folder / PAGE, folder / FACTS
    write_json(facts, dossier_json(dossier))
    write_text(page, render(dossier_page(dossier)))
    return {"report": str(page), "facts": str(facts)}
