"""Scenario: a suspicious encoder, the clean images a defender has, and what it is judged by."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mimic.benchmark.cards import Results, check_rates
from mimic.benchmark.schema import check_names, parse, read_table
from mimic.errors import InputError, RunError
from mimic.evaluation.evaluate import Evaluation
from mimic.files import expanded, sha256
from mimic.images.named import DATASETS
from mimic.images.source import find_pictures
from mimic.zoo import Card, Task, find_zoo, read_card, read_zoo
from mimic.zoo.members import member_trigger


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What defences are compared on.

    Attributes:
        name: any printable text.
        card: of the suspect; written by hand where it is not from a zoo.
        encoder: file of the suspect.
        folder: where files that the trigger names are looked for.
        images: clean images, as the configuration spells them.
        tasks: the downstream tasks, by name.
        places: folders that sources of images are looked for in, one after the other.
        controls: what the zoo expects of the suspect and of the clean encoder it came from.
        origin: file of that clean encoder; None where it is not known or not there.
    """

    name: str
    card: Card
    encoder: Path
    folder: Path
    images: str
    tasks: Mapping[str, Task]
    places: tuple[Path, ...]
    controls: Mapping[str, Results] = field(default_factory=dict)
    origin: Path | None = None

    def locate(self, source: str) -> str:
        """Where a source of images is: in one of the places, or as `open_images` takes it."""
        for place in self.places:
            if _is_in(place, source):
                return str(place / source)
        return source

    def check(self) -> None:
        """Refuse another suspect than its card says, an unfit trigger, and images that are nowhere.

        Raises:
            InputError: in one of these cases.
        """
        if not self.encoder.is_file():
            raise InputError(f"scenario '{self.name}': there is no file '{self.encoder}'")
        if sha256(self.encoder) != self.card.sha256:
            raise InputError(
                f"scenario '{self.name}': '{self.encoder}' is not the file that its card describes "
                "(another SHA-256); get it again"
            )
        try:
            member_trigger(self.card, self.folder)
        except InputError as error:
            raise InputError(f"scenario '{self.name}': {error}") from error
        sources = {self.images} | {
            s for task in self.tasks.values() for s in (task.train, task.test)
        }
        for source in sorted(sources):
            if not any(_is_in(place, source) for place in self.places):
                self._check_named(source)

    def _check_named(self, source: str) -> None:
        """Download what is not there now, rather than let every cell fail for want of it."""
        why = "they are no data set that can be downloaded either"
        try:
            if source.partition(":")[0] in DATASETS:
                _fetch(source)
                return
        except RunError as error:
            why = str(error)
        where = " or ".join(f"'{place}'" for place in self.places)
        raise InputError(
            f"scenario '{self.name}': there are no images '{source}' in {where} ({why}); the "
            "variable MIMIC_DATA names the folder they are in"
        )


@cache
def _fetch(source: str) -> None:
    """Have a data set that is known by name, once for all scenarios that need it."""
    find_pictures(source)


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A [[scenario]] of the configuration."""

    images: str
    name: str | None = None
    member: str | None = None
    encoder: str | None = None
    card: str | None = None
    tasks: Any = None
    trigger: str | None = None
    attack: str | None = None


def read_scenario(
    table: Mapping[str, Any], where: str, *, home: Path, data: Path | None
) -> Scenario:
    """A scenario from its table.

    Args:
        table: what the configuration says.
        where: which one it is, for messages.
        home: folder that relative paths start from.
        data: folder of the downstream images, looked into first.

    Raises:
        InputError: something is missing, unknown or contradictory.
    """
    asked: _Table = read_table(_Table, table, where)
    if (asked.member is None) == (asked.encoder is None):
        raise InputError(f"{where} needs either a member of the zoo or an encoder (a file)")
    card, encoder, cards = _suspect(asked, where, home)
    name = asked.name or card.name
    if not name.isprintable() or not name.strip():
        raise InputError(f"{where} has the name {name!r}, which cannot be shown")
    tasks, clean = _tasks(asked.tasks, card.tasks, where), clean_origin(card, cards)
    return Scenario(
        name=name,
        card=card,
        encoder=encoder,
        folder=encoder.parent if cards else home,
        images=asked.images,
        tasks=tasks,
        places=(home,) if data is None else (data, home),
        controls=_controls(card, clean, tasks),
        origin=None if clean is None else _file_of(clean, encoder.parent),
    )


def _suspect(asked: _Table, where: str, home: Path) -> tuple[Card, Path, Mapping[str, Card]]:
    """The card of the suspect, its file, and the cards of its zoo (none if it has no card)."""
    by_hand = {"trigger": asked.trigger, "attack": asked.attack}
    if asked.member is not None:
        zoo = find_zoo()
        cards = read_zoo(zoo)
        check_names([asked.member], cards, "member", where)
        card, encoder = cards[asked.member], zoo / cards[asked.member].file
    else:
        encoder = home / expanded(str(asked.encoder))
        path = home / asked.card if asked.card else encoder.with_suffix(".json")
        if not asked.card and not path.exists():
            return _handwritten(asked, where, encoder), encoder, {}
        card = read_card(path)
        cards = {card.name: card}
    if given := [name for name, value in by_hand.items() if value is not None]:
        raise InputError(f"{where} has a {given[0]}, but its card says that already; leave it out")
    return card, encoder, cards


def _handwritten(asked: _Table, where: str, encoder: Path) -> Card:
    if not encoder.is_file():
        raise InputError(f"{where}: there is no file '{encoder}'")
    if not isinstance(asked.tasks, Mapping):
        raise InputError(
            f"{where} has no card ('{encoder.with_suffix('.json')}'), so its tasks must be given: "
            "[scenario.tasks.NAME] with train, test and target"
        )
    return Card(
        name=encoder.stem,
        sha256=sha256(encoder),
        architecture="",
        backdoored=asked.trigger is not None,
        attack=asked.attack,
        trigger=asked.trigger,
    )


def _tasks(asked: Any, known: Mapping[str, Task], where: str) -> Mapping[str, Task]:
    """The tasks of the card, those of them that a list names, or the ones of a table."""
    if asked is None:
        chosen = dict(known)
    elif isinstance(asked, Mapping):
        chosen = {
            name: read_table(Task, table, f"task '{name}' of {where}")
            for name, table in parse(
                Mapping[str, Mapping[str, Any]], asked, f"{where}.tasks"
            ).items()
        }
    else:
        names = parse(tuple[str, ...], asked, f"{where}.tasks")
        check_names(names, known, "task", where)
        chosen = {name: known[name] for name in names}
    if not chosen:
        raise InputError(f"{where} has no tasks to judge an encoder by")
    return chosen


def _controls(card: Card, clean: Card | None, tasks: Mapping[str, Task]) -> Mapping[str, Results]:
    found = {"suspect": _expected(card, card.trigger, tasks)}
    if clean is not None:
        found["clean"] = _expected(clean, card.trigger, tasks)
    return {who: results for who, results in found.items() if results}


def clean_origin(card: Card, cards: Mapping[str, Card]) -> Card | None:
    """The member that was attacked: named by its digest, or else by its file."""
    attack = card.recipe.get("attack")
    if not isinstance(attack, Mapping):
        return None
    digest, file = attack.get("encoder_sha256"), attack.get("encoder")
    for other in cards.values():
        if not other.backdoored and (other.sha256 == digest or other.file == file):
            return other
    return None


def _file_of(card: Card, zoo: Path) -> Path | None:
    """The file of a member, if it is there and the one of its card."""
    file = zoo / card.file
    return file if file.is_file() and sha256(file) == card.sha256 else None


def _expected(card: Card, trigger: str | None, tasks: Mapping[str, Task]) -> Results:
    """What a card expects on these very tasks; no success rate of another trigger or target."""
    found = {}
    for name, task in tasks.items():
        known, expected = card.tasks.get(name), card.expected.get(name)
        if (
            known is None
            or expected is None
            or (known.train, known.test) != (task.train, task.test)
        ):
            continue
        where = f"what card '{card.name}' expects on {name}"
        said: Evaluation = parse(Evaluation, expected, where)
        check_rates(said, where)
        if card.trigger != trigger or known.target != task.target:
            said = dataclasses.replace(
                said,
                attack_success_rate=None,
                attack_success_rate_ci95=None,
                attack_success_rate_all=None,
                n_triggered=None,
            )
        found[name] = {said.probe: said}
    return found


def _is_in(place: Path, source: str) -> bool:
    """Whether the folder holds the source; what follows the last colon may name a split."""
    whole, (stem, _, _) = place / source, source.rpartition(":")
    return whole.exists() or (bool(stem) and (place / stem).exists())
