"""The facts of a demo as plain values: demo.json, from which its report is drawn."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from mimic.demo.cast import Cast
from mimic.demo.result import DemoResult
from mimic.demo.settings import DemoSettings
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.evaluation.plane import principal_plane
from mimic.images.imageset import ImageSet
from mimic.provenance import machine, versions
from mimic.report.pictures import data_uri
from mimic.training import History, Trainer

FORMAT = 1
_SHOWN_POINTS = 200


def gather_facts(
    cast: Cast, result: DemoResult, settings: DemoSettings, trainer: Trainer
) -> dict[str, Any]:
    """Everything that a report of the demo says or shows."""
    trigger = settings.stamp()
    localization = cast.purification.localization
    return {
        "format": FORMAT,
        **result.as_dict(),
        "settings": asdict(settings),
        "defense": asdict(settings.defense(result.seed)),
        "trigger": trigger.describe(),
        "target": settings.target,
        "images": {
            "train": len(cast.train),
            "clean": len(cast.few),
            "test": len(cast.test),
        },
        "localization": None if localization is None else localization.as_dict(),
        "losses": loss_curves(cast.purification.history),
        "pictures": _pictures(cast, settings),
        "projections": {
            name: _projection(cast.encoders[name], cast.test, settings, trainer)
            for name in ("suspicious", "purified")
        },
        "versions": versions(),
        "machine": machine(trainer),
        "command": _command(result, settings),
    }


def loss_curves(history: History) -> dict[str, list[float]]:
    """The value of each term of the loss in each epoch."""
    return {name: [round(one, 5) for one in values] for name, values in history.curves().items()}


def _pictures(cast: Cast, settings: DemoSettings) -> dict[str, str]:
    trigger = settings.stamp()
    image = cast.test.batch(_others(cast.test, settings.target)[:1])
    grey = torch.full_like(image, 128)
    shown = {
        "clean": image,
        "trigger": trigger(grey),
        "triggered": trigger(image),
        "reference": cast.reference,
    }
    return {name: data_uri(batch[0]) for name, batch in shown.items()}


def _projection(
    encoder: Encoder, test: ImageSet, settings: DemoSettings, trainer: Trainer
) -> Mapping[str, list[list[float]]]:
    """Points in the plane of the features of some test images, clean and triggered."""
    shown = test.subset(torch.arange(min(_SHOWN_POINTS, len(test))))
    others = _others(shown, settings.target)
    trigger = settings.stamp()
    features = [
        extract_features(encoder, shown, trainer=trainer),
        extract_features(encoder, shown.subset(others), trigger=trigger, trainer=trainer),
    ]
    both = torch.cat(features)
    seen = principal_plane(both).coordinates(both).float()
    clean, triggered = seen.split([len(shown), len(others)])
    is_other = torch.zeros(len(shown), dtype=torch.bool).index_fill(0, others, True)
    kinds = {"others": clean[is_other], "target": clean[~is_other], "triggered": triggered}
    return {name: [[round(x, 3) for x in row] for row in p.tolist()] for name, p in kinds.items()}


def _others(images: ImageSet, target: int) -> Tensor:
    """Positions of the images that are not of the target class."""
    if images.labels is None:
        raise TypeError("the demo shows labelled images")
    return (images.labels != target).nonzero().flatten()


def _command(result: DemoResult, settings: DemoSettings) -> str:
    folder = str(result.facts.parent)
    if settings == DemoSettings():
        return f"mimic demo --out {shlex.quote(folder)} --seed {result.seed}"
    return f"run_demo(Path({folder!r}), seed={result.seed}, settings={settings!r})"
