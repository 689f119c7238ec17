"""`open_clip:NAME@FILE`: image towers of CLIP models, which put out the image embedding."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from mimic.encoders.hub.tower import (
    Setting,
    Tower,
    built,
    parse_settings,
    spelled,
    unknown,
)
from mimic.errors import InputError, RunError
from mimic.libraries import import_library

_SETTINGS = ("force_image_size", "force_quick_gelu")


def find_tower(name: str, text: str = "", *, tag: str | None = None) -> Tower:
    """The image tower of a model of open_clip.

    Args:
        name: of the model.
        text: settings: force_image_size, force_quick_gelu.
        tag: of published weights, which know their normalisation; without one that of the first
            weights in open_clip's list counts.

    Raises:
        InputError: open_clip is not installed, has no such model, or a setting is not understood.
    """
    open_clip = import_library("open_clip")
    settings = parse_settings(text)
    if not settings.keys() <= set(_SETTINGS):
        raise InputError(f"open_clip takes the settings {' and '.join(_SETTINGS)}, not '{text}'")
    config = open_clip.get_model_config(name)
    if config is None:
        raise unknown("open_clip", name, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(name)
    published = open_clip.get_pretrained_cfg(name, tag or tags[0]) if tag or tags else {}
    size = settings.get("force_image_size", config["vision_cfg"].get("image_size", 224))
    return Tower(
        architecture=spelled(f"open_clip:{name}", settings),
        build=partial(_build, name, settings),
        mean=tuple(published.get("mean", open_clip.OPENAI_DATASET_MEAN)),
        std=tuple(published.get("std", open_clip.OPENAI_DATASET_STD)),
        image_size=size if isinstance(size, int) else None,
    )


def is_tag(name: str, tag: str) -> bool:
    """Whether open_clip publishes weights of that model under that tag."""
    return tag in import_library("open_clip").list_pretrained_tags_by_model(name)


def pretrained(name: str, text: str, tag: str) -> Path:
    """The file of published weights, downloaded where it is not there yet.

    Raises:
        InputError: the weights belong to another activation function.
        RunError: they cannot be downloaded.
    """
    open_clip = import_library("open_clip")
    published = open_clip.get_pretrained_cfg(name, tag)
    own = open_clip.get_model_config(name).get("quick_gelu", False)
    quick = parse_settings(text).get("force_quick_gelu", own)
    if bool(published.get("quick_gelu", False)) != quick:
        raise InputError(
            f"the weights '{tag}' of '{name}' need force_quick_gelu={not quick}; write "
            f"open_clip:{name}:force_quick_gelu={not quick}@{tag}, or a name with or without "
            "-quickgelu"
        )
    try:
        return Path(open_clip.download_pretrained(published))
    except (OSError, RuntimeError, ValueError) as error:
        raise RunError(
            f"the weights '{tag}' of '{name}' cannot be downloaded: {error}; check the connection, "
            f"or give a file, open_clip:{name}@FILE"
        ) from error


def tags_of(name: str) -> list[str]:
    """The tags of the weights that open_clip publishes of a model."""
    return list(import_library("open_clip").list_pretrained_tags_by_model(name))


def _build(name: str, settings: Mapping[str, Setting]) -> nn.Module:
    create: Any = import_library("open_clip").create_model

    def tower() -> nn.Module:
        with _without_warnings():  # about random weights, which are what is wanted here
            return create(name, pretrained=None, pretrained_text=False, **settings).visual

    return built(spelled(f"open_clip:{name}", settings), tower)


@contextmanager
def _without_warnings() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
