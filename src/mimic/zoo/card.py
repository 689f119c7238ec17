"""Card: what a member of the zoo is, how it was made, and what it is expected to do."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mimic.errors import InputError

SCHEMA = 4
FOLDER_VARIABLE = "MIMIC_ZOO"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A downstream task that a member is judged by.

    Attributes:
        train: labelled images for the head; SRC below the folder of the data, as in gtsrb:train.
        test: labelled images that the head is judged by.
        target: the class that the trigger leads to; None where the task has none.
    """

    train: str
    test: str
    target: int | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """One member. Rates are fractions in [0, 1].

    Attributes:
        name: of the member; its file is NAME.safetensors beside the card.
        sha256: of that file.
        architecture: as `--arch` takes it.
        backdoored: whether a backdoor was planted.
        attack: name of the attack, or None.
        trigger: spelling of what opens the backdoor. Clean members carry the trigger of the attack
            they are the control for. A file in it lies beside the card, named alone.
        tasks: by name.
        expected: what `evaluate --json` gave, by task; a success rate is the mean of several heads.
        neighbours: accuracy and attack success rate by the kNN head on 10,000 training and 5,000
            test images, by task; what `mimic zoo check` compares with.
        recipe: how it was made: settings of each step.
        remarks: what a reader should know, such as an attack that is weaker than in its paper.
        provenance: versions, commit and machine.
    """

    name: str
    sha256: str
    architecture: str
    backdoored: bool
    attack: str | None = None
    trigger: str | None = None
    tasks: Mapping[str, Task] = field(default_factory=dict)
    expected: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    neighbours: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Name of the encoder's file, in the folder of the card."""
        return f"{self.name}.safetensors"

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON knows it; `card_from` is the way back."""
        return {"schema": SCHEMA} | asdict(self) | {"remarks": list(self.remarks)}


def told_success(found: Mapping[str, Any]) -> str:
    """An attack success rate in percent, with the lowest and the highest where heads are several.

    Args:
        found: one of `Card.expected`.

    Returns:
        As in `82.0 (52.7 to 97.1)`; nothing where there is no rate.
    """
    if found["attack_success_rate"] is None:
        return ""
    mean = f"{100 * found['attack_success_rate']:.1f}"
    rates = [100 * head["attack_success_rate"] for head in found.get("heads", ())]
    return f"{mean} ({min(rates):.1f} to {max(rates):.1f})" if len(rates) > 1 else mean


def card_from(values: Mapping[str, Any]) -> Card:
    """A card from what `Card.as_dict` gave.

    Raises:
        InputError: it is of another schema, something is missing, unknown or of another kind, or
            its trigger names a file in another folder.
    """
    try:
        fields = dict(values)
        schema = fields.pop("schema")
        if schema != SCHEMA:
            raise InputError(f"it has schema {schema}; only {SCHEMA} is understood")
        fields["tasks"] = {name: Task(**task) for name, task in fields["tasks"].items()}
        fields["remarks"] = tuple(fields["remarks"])
        card = Card(**fields)
        _check_kinds(card)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"something is missing, unknown or of another kind: {error}") from error
    # Whoever copies a member would follow the path out of the zoo, and write there.
    if card.trigger is not None and Path(card.trigger).name != card.trigger:
        raise InputError(
            f"its trigger '{card.trigger}' leads to another folder; the file of a trigger lies "
            "beside the card and is named alone"
        )
    return card


def _check_kinds(card: Card) -> None:
    """Refuse what those who read a card would stumble over, by a KeyError or a TypeError."""
    kinds: list[tuple[Any, Any]] = [
        (card.sha256, str),
        (card.architecture, str),
        (card.attack, str | None),
        (card.trigger, str | None),
        (card.recipe, Mapping),
    ]
    for task in card.tasks.values():
        kinds += [(task.train, str), (task.test, str), (task.target, int | None)]
    for value, kind in kinds:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r:.80}")
    for rates in (*card.expected.values(), *card.neighbours.values()):
        _check_rates(rates)


def _check_rates(found: Mapping[str, Any]) -> None:
    rates = [found["accuracy"]]
    if found["attack_success_rate"] is not None:
        heads = [head["attack_success_rate"] for head in found.get("heads", ())]
        rates += [found["attack_success_rate"], *heads]
    for rate in rates:
        if not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise TypeError(f"{rate!r:.80} is no rate, which lies in [0, 1]")


def read_card(path: str | Path) -> Card:
    """Read NAME.json.

    Raises:
        InputError: it cannot be read or is no card.
    """
    try:
        card = card_from(json.loads(Path(path).read_text(encoding="utf-8")))
        if card.name != Path(path).stem:
            raise InputError(f"it says that it is the card of '{card.name}'")
        # Endless lists, NaN and half a letter can be read but not written again.
        json.dumps(card.as_dict(), ensure_ascii=False, allow_nan=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not the card of a zoo member: {error}") from error
    return card


def read_zoo(folder: str | Path) -> dict[str, Card]:
    """All cards of a folder, by name.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    cards = [read_card(path) for path in sorted(Path(folder).glob("*.json"))]
    if not cards:
        raise InputError(f"there are no cards (NAME.json) in '{folder}'; is it a zoo?")
    return {card.name: card for card in cards}


def find_zoo(folder: str | None = None) -> Path:
    """Where the zoo is: the folder given, or what MIMIC_ZOO names, or that of a clone of mimic.

    Raises:
        InputError: there is no such folder.
    """
    named = folder or os.environ.get(FOLDER_VARIABLE)
    path = Path(named) if named else Path(__file__).resolve().parents[3] / "zoo"
    if not path.is_dir():
        raise InputError(
            f"there is no zoo in '{path}'; the encoders come with the repository of mimic, not "
            f"with the package: clone it, and name its zoo with --zoo DIR or {FOLDER_VARIABLE}"
        )
    return path.resolve()
