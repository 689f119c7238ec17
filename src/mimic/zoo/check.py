"""Whether a member still does what its card says: fixed images and a head that is not trained.

An MLP head, by which members are judged, is another one on every kind of machine, since training
enlarges the rounding of its arithmetic, and the attack success may differ much from head to head
(`results/head_spread.json`). Nearest neighbours have nothing to train: with the same images, rates
differ by what rounding does to single images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mimic.errors import InputError
from mimic.training import Trainer
from mimic.zoo.card import Card
from mimic.zoo.members import measure_neighbours, member_trigger, open_member

TOLERANCE = 0.01
"""Rates may differ by this much: some images are between classes, and rounding decides."""


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """A rate that is not what the card says.

    Attributes:
        task: name of the downstream task.
        rate: "accuracy" or "attack_success_rate".
        found: what was measured now.
        expected: what the card says.
    """

    task: str
    rate: str
    found: float
    expected: float


def check_member(card: Card, zoo: Path, *, data: Path, trainer: Trainer) -> Iterator[Deviation]:
    """Measure a member again and give every rate that is not the one on its card.

    Raises:
        InputError: the member is missing or damaged, its card does not say what neighbours give,
            or images cannot be read.
    """
    if missing := sorted(card.tasks.keys() - card.neighbours.keys()):
        raise InputError(
            f"card '{card.name}' does not say what neighbours give on {', '.join(missing)}, so "
            "there is nothing to compare with; benchmarks/zoo_card.py measures it"
        )
    found = measure_neighbours(
        open_member(card, zoo),
        card.tasks,
        trigger=member_trigger(card, zoo),
        data=data,
        trainer=trainer,
    )
    for task, rates in found.items():
        for rate, value in rates.items():
            wanted = card.neighbours[task][rate]
            if wanted is not None and value is not None and abs(value - wanted) > TOLERANCE:
                yield Deviation(task=task, rate=rate, found=value, expected=wanted)
