"""`timm:NAME`: models of timm, their feature as `num_classes=0` gives it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

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

_REFUSED = ("pretrained", "checkpoint", "cache", "num_classes", "features_only", "scriptable")


def find_tower(name: str, text: str = "") -> Tower:
    """A model of timm by name; `text` are settings for `timm.create_model`.

    Raises:
        InputError: timm is not installed, has no such model, or a setting is not understood.
    """
    timm = import_library("timm")
    settings = parse_settings(text, refused=_REFUSED)
    if not timm.is_model(name):
        raise unknown("timm", name, timm.list_models())
    metadata = _metadata(timm, name)
    data = timm.data.resolve_data_config(pretrained_cfg=metadata)
    size = settings.get("img_size", data["input_size"][-1])
    return Tower(
        architecture=spelled(f"timm:{name}", settings),
        build=partial(_build, name, settings),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        image_size=int(size),
    )


def pretrained(tower: Tower) -> nn.Module:
    """The tower with the weights that timm publishes, through timm's own loader.

    Raises:
        InputError: there are none of that name.
        RunError: they cannot be downloaded.
    """
    _, name, *rest = tower.architecture.split(":")
    settings = parse_settings(*rest) if rest else {}
    metadata = _metadata(import_library("timm"), name)
    if not any(metadata.get(place) for place in ("hf_hub_id", "url", "file")):
        raise InputError(f"timm publishes no weights of '{name}'; give a file, timm:{name}@FILE")
    try:
        return _build(name, settings, pretrained=True)
    except (OSError, RuntimeError, ValueError, InputError) as error:
        raise RunError(
            f"timm cannot load the weights of '{name}': {error}; check the connection, or give a "
            f"file, timm:{name}@FILE"
        ) from error


def _metadata(timm: Any, name: str) -> dict[str, Any]:
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise unknown("timm", name, timm.list_pretrained())
    return dict(config.to_dict())


def _build(name: str, settings: Mapping[str, Setting], *, pretrained: bool = False) -> nn.Module:
    timm = import_library("timm")
    create = partial(timm.create_model, name, pretrained=pretrained, num_classes=0, **settings)
    classifiers = _metadata(timm, name).get("classifier") or ()
    if isinstance(classifiers, str):
        classifiers = (classifiers,)
    spelling = FileSpelling(left_out=tuple(f"{classifier}." for classifier in classifiers))
    return as_in_files(built(spelled(f"timm:{name}", settings), create), spelling)
