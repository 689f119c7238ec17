"""The HTML a person reads: figures as inline SVG, a page of plain values, and one template."""

from mimic.report.page import Page, render

__all__ = ["Page", "render"]
