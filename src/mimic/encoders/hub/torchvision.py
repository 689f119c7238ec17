"""`torchvision:NAME`: classifiers of torchvision without their last layer."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from mimic.encoders.hub.tower import (
    Setting,
    Tower,
    as_in_files,
    built,
    parse_settings,
    spelled,
    unknown,
)
from mimic.encoders.matching import FileSpelling
from mimic.errors import InputError, RunError
from mimic.libraries import import_library

_REFUSED = ("weights", "progress", "num_classes")
_NORMALIZES_BY_ITSELF = ("googlenet", "inception_v3")  # and only with published weights


def find_tower(name: str, text: str = "") -> Tower:
    """A classifier of torchvision by name; `text` are settings for its builder.

    Raises:
        InputError: torchvision is not installed, has no such model, or a setting is not understood.
    """
    models = import_library("torchvision").models
    settings = parse_settings(text, refused=_REFUSED)
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("torchvision", name, known)
    if name in _NORMALIZES_BY_ITSELF:
        raise InputError(f"torchvision's {name} normalises by itself; take timm:inception_v3")
    data = models.get_model_weights(name).DEFAULT.transforms()
    return Tower(
        architecture=spelled(f"torchvision:{name}", settings),
        build=partial(_build, name, settings),
        mean=tuple(data.mean),
        std=tuple(data.std),
        image_size=int(settings.get("image_size", data.crop_size[0])),
    )


def pretrained(tower: Tower) -> Path:
    """The file of the weights that torchvision publishes, downloaded where it is not there yet.

    Raises:
        RunError: it cannot be downloaded.
    """
    name = tower.architecture.split(":")[1]
    url = import_library("torchvision").models.get_model_weights(name).DEFAULT.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # torchvision ends the names of its files with the beginning of their hash
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"the weights of '{name}' cannot be downloaded from {url}: {error}; check the "
            f"connection, or give a file, torchvision:{name}@FILE"
        ) from error
    return path


def _build(name: str, settings: Mapping[str, Setting]) -> nn.Module:
    models: Any = import_library("torchvision").models
    architecture = spelled(f"torchvision:{name}", settings)
    model = built(architecture, partial(models.get_model, name, weights=None, **settings))
    last = [path for path, module in model.named_modules() if module._parameters][-1]
    model.set_submodule(last, nn.Identity())
    return as_in_files(model, FileSpelling(left_out=(f"{last}.",)))
