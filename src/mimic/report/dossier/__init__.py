"""The report about one encoder: gathered as plain values, then drawn as a page and told as JSON."""

from mimic.report.dossier.gather import Context
from mimic.report.dossier.write import (
    write_purification_report,
    write_scan_report,
    write_verification_report,
)

__all__ = [
    "Context",
    "write_purification_report",
    "write_scan_report",
    "write_verification_report",
]
