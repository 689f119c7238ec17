"""What a file written by mimic says about itself: JSON in the header of a safetensors file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mimic.errors import InputError

HEADER_KEY = "mimic"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Description:
    """All that a bare file of tensors cannot tell about its encoder.

    Attributes:
        architecture: a spelling of ours, or None.
        factory: the user's `module:function`, or None. A note for people: loading never runs it
            unless the user names it again, because a file must not choose which code runs.
        mean, std: per-channel normalisation of images in [0, 1].
        image_size: height and width in pixels, or None.
        stages: names of the stages, or None.
        extra: anything else worth keeping, plain JSON values.
    """

    architecture: str | None = None
    factory: str | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    image_size: int | None = None
    stages: tuple[str, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def header(self) -> dict[str, str]:
        """The header of a safetensors file."""
        return {HEADER_KEY: json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True)}


def read_description(header: Mapping[str, str], path: object) -> Description | None:
    """The description in a safetensors header, or None where mimic did not write one.

    Raises:
        InputError: it is damaged, or of a newer version of mimic.
    """
    if HEADER_KEY not in header:
        return None
    try:
        said = json.loads(header[HEADER_KEY])
        version = int(said["version"])
        if version > VERSION:
            raise InputError(f"'{path}' was written by a newer mimic; update mimic to read it")
        return Description(
            architecture=_text(said["architecture"]),
            factory=_text(said["factory"]),
            mean=tuple(float(value) for value in said["mean"]),
            std=tuple(float(value) for value in said["std"]),
            image_size=None if said["image_size"] is None else int(said["image_size"]),
            stages=None if said["stages"] is None else tuple(map(str, said["stages"])),
            extra=dict(said["extra"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the header that mimic wrote into '{path}' is damaged ({error}); "
            "take another copy of the file"
        ) from error


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"a name was expected, not {value!r}")
