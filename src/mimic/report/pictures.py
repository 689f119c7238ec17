"""Pictures of a report: images as data URIs, and the result chart as a file for a README."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mimic.errors import InputError
from mimic.files import atomic_write
from mimic.report.figures import Rate, draw_rates
from mimic.report.svg import drawing_style


def data_uri(image: Tensor) -> str:
    """An image as the source of an `<img>` element.

    Args:
        image: uint8 RGB, shape (3, height, width).

    Returns:
        `data:image/png;base64,...`
    """
    buffer = BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, format="PNG")
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode()


def thumbnail(image: Tensor, *, most: int) -> Tensor:
    """An image whose longer side has at most `most` pixels; smaller ones are passed on.

    Args:
        image: uint8 RGB, shape (3, height, width).
        most: pixels, 1 or more.
    """
    longest = max(image.shape[1:])
    if longest <= most:
        return image
    height, width = (max(1, round(side * most / longest)) for side in image.shape[1:])
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    small = np.array(picture.resize((width, height), Image.Resampling.BOX))
    return torch.from_numpy(small).permute(2, 0, 1)


def encoder_rates(encoders: Sequence[Mapping[str, Any]], key: str) -> list[Rate]:
    """The rate `key` of each encoder, with the interval under `key` + "_ci95"."""
    rows = []
    for encoder in encoders:
        low, high = encoder[f"{key}_ci95"]
        rows.append(Rate(name=encoder["name"], value=encoder[key], low=low, high=high))
    return rows


def accuracy_floor(rates: Sequence[Rate]) -> float:
    """Where an axis of accuracies begins: a multiple of 5 % below every interval."""
    return max(0.0, int(20 * min(rate.low for rate in rates) - 1e-9) / 20)


def draw_result_picture(facts: str | Path, picture: str | Path) -> Path:
    """Draw clean accuracy and attack success rate of a finished demo as one PNG.

    Args:
        facts: `demo.json`.
        picture: the file to write, 1500 pixels wide or so, on white.

    Returns:
        The file written.

    Raises:
        InputError: `facts` is not the demo.json of a demo.
    """
    from matplotlib.figure import Figure

    try:
        encoders = json.loads(Path(facts).read_text(encoding="utf-8"))["encoders"]
        accuracy = encoder_rates(encoders, "accuracy")
        success = encoder_rates(encoders, "attack_success_rate")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{facts}' is not the demo.json of a demo ({error!r}); run 'mimic demo' first"
        ) from error
    with drawing_style():
        figure = Figure(figsize=(9.0, 2.4), layout="constrained")
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.08})
        draw_rates(left, accuracy, label="clean accuracy", lowest=accuracy_floor(accuracy))
        draw_rates(right, success, label="attack success rate")
        with atomic_write(picture) as temporary:
            figure.savefig(temporary, format="png", dpi=170, facecolor="white")
    return Path(picture)
