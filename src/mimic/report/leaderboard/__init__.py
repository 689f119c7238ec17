"""Leaderboard of a benchmark: from its cards to one page, `leaderboard.html`, and its facts."""

from mimic.report.leaderboard.data import Leaderboard
from mimic.report.leaderboard.gather import gather, read_leaderboard
from mimic.report.leaderboard.page import render_leaderboard

__all__ = ["Leaderboard", "gather", "read_leaderboard", "render_leaderboard"]
