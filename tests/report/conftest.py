"""Facts of a demo that was never run, with values that are easy to find again; and a browser."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch

from mimic.report.pictures import data_uri

from .browsing import CHROMIUM, PATIENCE


def _encoder(name: str, accuracy: float, success: float) -> dict[str, Any]:
    return {
        "name": name,
        "accuracy": accuracy,
        "accuracy_ci95": [accuracy - 0.02, min(1.0, accuracy + 0.01)],
        "attack_success_rate": success,
        "attack_success_rate_ci95": [max(0.0, success - 0.01), min(1.0, success + 0.03)],
        "n_test": 396,
        "n_triggered": 357,
        "file": f"out/{name}.safetensors",
        "sha256": name.encode().hex().ljust(64, "0"),
    }


@pytest.fixture(scope="session")
def untouched_facts() -> dict[str, Any]:
    """What demo.json would hold; not to be changed."""
    points = [[0.1, 0.2], [0.3, -0.4]]
    clouds = {"others": points, "target": points, "triggered": points}
    stages = [
        {"name": name, "mutual_information": 1.5, "standard_error": 0.1, "weight": 0.5}
        for name in ("layer1", "layer$2")
    ]
    return {
        "format": 1,
        "encoders": [
            _encoder("clean", 0.967, 0.031),
            _encoder("suspicious", 0.964, 1.0),
            _encoder("purified", 0.972, 0.041),
            _encoder("scratch", 0.966, 0.028),
        ],
        "checks": {"the backdoor works": True, "it is removed": True},
        "report": "out/report.html",
        "facts": "out/demo.json",
        "seed": 7,
        "seconds": 167.2,
        "cpu_seconds": 250.9,
        "resumed": False,
        "settings": {"pretrain_epochs": 60, "target": 3},
        "defense": {"epochs": 100, "search": True},
        "trigger": "a white patch of 4x4 pixels",
        "target": 3,
        "images": {"train": 1400, "clean": 400, "test": 396},
        "localization": {"estimator": "infonce", "images": 400, "stages": stages},
        "losses": {"clone": [0.9, 0.2], "layer1": [0.5, 0.1]},
        "pictures": dict.fromkeys(
            ("clean", "trigger", "triggered", "reference"),
            data_uri(torch.zeros(3, 4, 4, dtype=torch.uint8)),
        ),
        "projections": {"suspicious": clouds, "purified": clouds},
        "versions": {"mimic": "0.1.0", "torch": "2.13", "python": "3.12"},
        "machine": {"device": "cpu", "threads": 2, "precision": "auto"},
        "command": "mimic demo --out out --seed 7",
    }


@pytest.fixture
def facts(untouched_facts: dict[str, Any]) -> dict[str, Any]:
    """The same, to be changed at will."""
    return deepcopy(untouched_facts)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api",
        reason="a browser is driven through playwright: pip install playwright",
    )
    with playwright.sync_playwright() as driver:
        # The sandbox is not available to root, as whom containers run.
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def heard() -> list[str]:
    """What the page said and asked for: console, errors, dialogs, requests."""
    return []


@pytest.fixture
def visit(browser: Any, heard: list[str]) -> Iterator[Any]:
    """Opens an address in a browser of its own settings."""
    contexts = []

    def open_page(address: str, **settings: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", lambda message: heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: heard.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
