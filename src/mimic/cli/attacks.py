"""From options of `mimic attack` to an attack: an option goes to the setting of the same name."""

from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

from mimic.attacks import Attack, load_references, parse_trigger
from mimic.cli.options import class_label
from mimic.cli.settings import parse_settings, settings_of
from mimic.errors import InputError
from mimic.images.source import open_images
from mimic.pretraining import METHODS

if TYPE_CHECKING:
    from mimic.images.imageset import ImageSet

_OPTION_OF = {
    "trigger": "--trigger TRIG",
    "references": "--reference REF",
    "objects": "--reference REF",
    "target": "--target LABEL",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user asked for; None and empty ones are left to the attack.

    Attributes:
        triggers: spellings.
        references: as `load_references` takes them.
        target: the target class, by name or number; attacks that have no such setting ignore it.
        background: SRC of backgrounds.
        method: name of a pre-training.
        training: epochs, batch_size and learning_rate, those that were given.
        seed: of the attack, and of the pre-training.
        settings: further ones as FIELD=VALUE.
    """

    triggers: Sequence[str] = ()
    references: Sequence[str] = ()
    target: str | None = None
    background: str | None = None
    method: str | None = None
    training: dict[str, Any]
    seed: int
    settings: Sequence[str] = ()


def build_attack(name: str, kind: type[Attack], asked: Asked, images: "ImageSet") -> Attack:
    """Make an attack from what the user asked for.

    Args:
        name: of the attack, for errors.
        kind: its class.
        asked: the options.
        images: what the attacker holds; references are brought to their size.

    Raises:
        InputError: the attack has no such setting, lacks one, or a value is not understood.
    """
    known = {field.name: field for field in fields(kind) if field.init}
    values: dict[str, Any] = {"seed": asked.seed} if "seed" in known else {}

    def put(option: str, names: Sequence[str], value: Any) -> None:
        place = next((name for name in names if name in known), None)
        if place is None:
            raise InputError(f"attack '{name}' has no use for {option}; leave it out")
        values[place] = value

    if asked.triggers:
        triggers = tuple(parse_trigger(text) for text in asked.triggers)
        several = "trigger" in known and "tuple" in str(known["trigger"].type)
        if len(triggers) > 1 and not several:
            raise InputError(f"attack '{name}' takes one --trigger, not {len(triggers)}")
        put("--trigger", ["trigger"], triggers if len(triggers) > 1 else triggers[0])
    if asked.references:
        pictures = [load_references(text, size=images.size) for text in asked.references]
        put("--reference", ["references", "objects"], torch.cat(pictures))
    if asked.target is not None and "target" in known:
        values["target"] = class_label(asked.target, images)
    if asked.background is not None:
        chosen = open_images(asked.background, size=images.size)
        put("--background", ["backgrounds"], chosen.tensor())
    values |= _trained(name, kind, known, asked)
    _check_complete(name, known, values)
    return kind(**values)


def _trained(
    name: str, kind: type[Attack], known: dict[str, Field[Any]], asked: Asked
) -> dict[str, Any]:
    """Settings of the training and further ones; the victim's, where the attack has a victim."""
    if "pretraining" not in known:
        if asked.method is not None:
            raise InputError(f"attack '{name}' pre-trains nothing; leave --method out")
        return asked.training | parse_settings(
            asked.settings, settings_of(kind), owner=f"attack '{name}'"
        )
    method = asked.method or "simclr"
    if method not in METHODS:
        raise InputError(f"method '{method}' is unknown; there are {', '.join(METHODS)}")
    both = settings_of(METHODS[method], kind)
    chosen = parse_settings(asked.settings, both, owner=f"attack '{name}'")
    own = {key: value for key, value in chosen.items() if key in known}
    training = asked.training | {k: v for k, v in chosen.items() if k not in known}
    return own | {"pretraining": METHODS[method](**{"seed": asked.seed} | training)}


def _check_complete(name: str, known: dict[str, Field[Any]], values: dict[str, Any]) -> None:
    missing = [
        _OPTION_OF.get(key, key)
        for key, field in known.items()
        if key not in values and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise InputError(f"attack '{name}' needs {' and '.join(missing)}")
