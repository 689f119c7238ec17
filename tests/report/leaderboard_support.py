"""Cards of a benchmark that was never run, with values that are easy to work out."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mimic.benchmark.cards import CARDS, Failure, ResultCard, write_result
from mimic.evaluation.judging import Evaluation, HeadRates

CLEAN, SUSPECT = (0.62, 0.01), (0.61, 0.93)
DEFENSES = {  # accuracy, attack success, seconds
    "mimic": (0.59, 0.02, 700.0),
    "ft-sam": (0.60, 0.12, 260.0),
    "clp": (0.56, 0.55, 2.0),
    "nad": (0.55, 0.30, 410.0),
    "scratch": (0.50, 0.03, 900.0),
}
SCENARIOS = {
    "small-badencoder": "badencoder",
    "small-ctrl": "ctrl",
    "drupe at 5 %": "drupe",
}


def evaluation(
    accuracy: float, success: float | None = None, *, probe: str = "mlp", seed: int = 0
) -> Evaluation:
    """An evaluation of these rates, with intervals that nobody reads."""
    attacked = success is not None
    return Evaluation(
        accuracy=accuracy,
        accuracy_ci95=(accuracy, accuracy),
        attack_success_rate=success,
        attack_success_rate_ci95=(success, success) if attacked else None,
        attack_success_rate_all=success,
        n_train=100,
        n_test=1000,
        n_triggered=900 if attacked else None,
        probe=probe,
        seed=seed,
        seconds=1.0,
        heads=(HeadRates(seed=seed, accuracy=accuracy, attack_success_rate=success),),
    )


def card(label: str = "mimic", **changes: Any) -> ResultCard:
    """A card with one result: 0.59 accuracy and 0.02 attack success on gtsrb with mlp."""
    results = {"gtsrb": {"mlp": evaluation(0.59, 0.02)}}
    controls = {
        who: {"gtsrb": {"mlp": evaluation(*rates)}}
        for who, rates in (("clean", CLEAN), ("suspect", SUSPECT))
    }
    failed = changes.get("error") is not None
    settings: dict[str, Any] = {
        "scenario": "small-badencoder",
        "attack": "badencoder",
        "encoder_sha256": "ab" * 32,
        "images": "cifar10:train",
        "ratio": None if changes.get("count") else 0.04,
        "count": None,
        "images_used": 2000,
        "seed": 0,
        "defense": label,
        "label": label,
        "settings": {"epochs": 100, "seed": changes.get("seed", 0)},
        "tasks": {"gtsrb": {"train": "gtsrb:train", "test": "gtsrb:test", "target": 12}},
        "trigger": "patch:10@21,21:white",
        "probes": ("mlp",),
        "results": {} if failed else results,
        "controls": controls,
        "seconds": 100.0,
        "evaluation_seconds": 10.0,
        "images_per_second": None if failed else 250.0,
        "peak_memory_mib": None if failed else 800.0,
        "peak_gpu_memory_mib": None,
        "device": "cpu",
        "precision": "32-true",
        "threads": 1,
        "versions": {"mimic": "0.1.0", "torch": "2.13", "python": "3.12"},
        "commit": "0123abc",
        "machine": "x86_64 CPU",
    }
    return ResultCard(**(settings | changes))


def result(accuracy: float, success: float | None = None) -> dict[str, Any]:
    """Results of one task and probe."""
    return {"gtsrb": {"mlp": evaluation(accuracy, success)}}


def benchmark(
    *,
    ratios: Iterable[float] = (0.04,),
    scenarios: Iterable[str] = tuple(SCENARIOS),
    tasks: Iterable[str] = ("gtsrb", "cifar10"),
    probes: Iterable[str] = ("mlp",),
) -> list[ResultCard]:
    """Five defences by three seeds; the last scenario is harder, and more images help."""
    tasks, probes = tuple(tasks), tuple(probes)
    described = {name: {"train": f"{name}:train", "test": f"{name}:test"} for name in tasks}
    cards = []
    for hardness, scenario in enumerate(scenarios):
        for label, (accuracy, success, seconds) in DEFENSES.items():
            for ratio in ratios:
                for seed in range(3):
                    noise = random.Random(f"{scenario} {label} {ratio} {seed}").uniform(-1, 1)
                    kept = accuracy + 0.5 * (ratio - 0.04) - 0.02 * hardness + 0.01 * noise
                    left = min(1.0, max(0.0, success * (1 + 0.4 * hardness) + 0.02 * noise))
                    controls = {"clean": CLEAN, "suspect": SUSPECT}
                    cards.append(
                        card(
                            label,
                            scenario=scenario,
                            attack=SCENARIOS.get(scenario),
                            ratio=ratio,
                            seed=seed,
                            tasks=described,
                            probes=probes,
                            encoder_sha256=f"{hardness}a" * 32,
                            seconds=seconds * (1 + 0.1 * noise) * ratio / 0.04,
                            images_per_second=None if label == "clp" else 25_000 / seconds,
                            results=_rates(tasks, probes, kept, left),
                            controls={
                                who: _rates(tasks, probes, *rates)
                                for who, rates in controls.items()
                            },
                        )
                    )
    return cards


def failed_card(label: str = "i-bau", **changes: Any) -> ResultCard:
    """A cell that failed."""
    error = Failure(type="NonFiniteLossError", message="the loss 'clone' became NaN in epoch 3")
    return card(label, error=error, **changes)


def write_cards(folder: Path, cards: Iterable[ResultCard]) -> Path:
    """Write cards where `mimic bench --out` puts them."""
    for index, one in enumerate(cards):
        write_result(folder / CARDS / f"{index:04}.json", one)
    return folder


def _rates(
    tasks: tuple[str, ...], probes: tuple[str, ...], accuracy: float, success: float
) -> dict[str, dict[str, Evaluation]]:
    """Only the first task has a target; the second one is easier, and a second probe worse."""
    return {
        task: {
            probe: evaluation(
                accuracy + 0.05 * number - 0.03 * weaker,
                None if number else success,
                probe=probe,
            )
            for weaker, probe in enumerate(probes)
        }
        for number, task in enumerate(tasks)
    }
