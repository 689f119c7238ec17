"""Scenarios x defences x amounts of clean images x seeds, under one protocol, a card for each."""

from mimic.benchmark.cards import Failure, ResultCard, Results, load_cards
from mimic.benchmark.cluster import Cluster
from mimic.benchmark.config import Bench, Contender, read_config
from mimic.benchmark.run import Outlook, run_bench
from mimic.benchmark.scenario import Scenario

__all__ = [
    "Bench",
    "Cluster",
    "Contender",
    "Failure",
    "Outlook",
    "ResultCard",
    "Results",
    "Scenario",
    "load_cards",
    "read_config",
    "run_bench",
]
