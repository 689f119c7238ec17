"""What a student has learned of the task, and of the backdoor, while it is trained.

    python benchmarks/curves.py [VARIANT ...]    results/curves/VARIANT.json

Three students of `small-badencoder` are judged by their nearest neighbours (10,000 training and
5,000 test images of a task, nothing to train) after some of the epochs: that of the default, one
that sees random patches only, and one that sees what the teacher sees. Beside it stands what a
verification sees, which knows neither labels nor the trigger: how far the doors that a scan finds
on the suspect are still open, and how many nearest neighbours the student shares with it, on images
that no student was trained with. Nothing in the training depends on either. A quarter to half an
hour a variant on one thread; what is there is skipped. Images are read from the folder named by
MIMIC_DATA (default ../shared/data).
"""

import argparse
import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reference import CLEAN_IMAGES, DATA, OUR_EPOCHS, ROOT, SUSPECT, VARIANTS, ZOO
from torch import nn
from verdicts import unseen

from mimic.benchmark.meter import commit
from mimic.detection.doors import Doors
from mimic.detection.scan import scan
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder
from mimic.files import ensure_folder, write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.seeds import seed_of
from mimic.training import History, Objective, Plan, Trainer
from mimic.training.objective import Data
from mimic.verification.doors import measure_old_door
from mimic.verification.rule import UNUSUAL
from mimic.verification.utility import measure_utility
from mimic.verification.verify import chosen_images, halves
from mimic.zoo import read_zoo
from mimic.zoo.card import Card
from mimic.zoo.members import measure_neighbours, member_trigger, provenance

RESULTS = ROOT / "results" / "curves"
MEMBER, IMAGES = SUSPECT.stem, "cifar10:train"
JUDGED = (1, 2, 5, *range(10, OUR_EPOCHS + 1, 10))
WATCHED = ("mimic", "mimic-no-search", "mimic-no-change")
DOOR_IMAGES = 256
"""On so many the triggers of a scan are tried; a verification takes 1,000."""


@dataclass(frozen=True)
class Signals:
    """What tells a student that is done from one that is not, without labels and trigger.

    Attributes:
        suspect: its teacher.
        doors: what a scan found on that, of families that are unusual.
        judges: images that neither the scan nor a student has seen.
    """

    suspect: Encoder
    doors: tuple[Doors, ...]
    judges: ImageSet

    def of(self, student: Encoder) -> dict[str, Any]:
        """The largest residue of a door, and the share of nearest neighbours that is the same."""
        some, trainer = self.judges.subset(range(DOOR_IMAGES)), Trainer()
        found = [
            measure_old_door(self.suspect, student, door, some, trainer=trainer)
            for door in self.doors
        ]
        kept = measure_utility(self.suspect, student, self.judges, trainer=trainer)
        return {
            "residue": max(door.residue for door in found),
            "mutual_neighbours": kept.mutual_neighbours.value,
        }


def signals(suspect: Encoder) -> Signals:
    """Scan the suspect as a verification does."""
    chosen = chosen_images(unseen(IMAGES, CLEAN_IMAGES, 0, suspect.image_size), seed=0)
    searched, judges = halves(chosen)
    found = scan(suspect, searched, trainer=Trainer())
    unusual = tuple(door for door in found.doors if found.p_values[door.family] <= UNUSUAL)
    return Signals(suspect.copy(), unusual, judges)


@dataclass(frozen=True, kw_only=True)
class Watch(Trainer):
    """A trainer that judges the student after some epochs.

    Attributes:
        card: of the suspect.
        signals: what is asked without labels.
        points: what was found, by epoch.
    """

    card: Card
    signals: Signals
    points: list[dict[str, Any]] = field(default_factory=list)

    def fit(
        self, objective: Objective, data: Data, plan: Plan, *, name: str = "training"
    ) -> History:
        """Train; nobody asks whether the last epoch is the last."""
        history = super().fit(objective, data, plan, name=name)
        self.ends(name, objective.learner, history.epochs[-1])
        return history

    def ends(self, name: str, learner: nn.Module, epoch: Mapping[str, float]) -> bool:
        """Never; the student of "mimic" is looked at."""
        if name == "mimic" and epoch["epoch"] in JUDGED:
            student = copy.deepcopy(learner).eval()
            assert isinstance(student, Encoder)
            found = judged(student, self.card) | self.signals.of(student)
            self.points.append({"epoch": int(epoch["epoch"])} | found)
            print(self.points[-1], flush=True)
        return False


def judged(encoder: Encoder, card: Card) -> dict[str, Any]:
    """Accuracy and attack success by task."""
    trigger = member_trigger(card, ZOO)
    found = measure_neighbours(encoder, card.tasks, trigger=trigger, data=DATA, trainer=Trainer())
    return {task: dict(rates) for task, rates in found.items()}


def main() -> None:
    """Train what is asked for and missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", help=f"by default {', '.join(WATCHED)}")
    asked = parser.parse_args()
    card = read_zoo(ZOO)[MEMBER]
    suspect = load_encoder(SUSPECT)
    source = open_images(f"{DATA}/{IMAGES}", size=suspect.image_size)
    images = source.sample(count=CLEAN_IMAGES, seed=seed_of("defender", 0))
    ensure_folder(RESULTS)
    files = {name: RESULTS / f"{name}.json" for name in asked.variants or WATCHED}
    missing = {name: path for name, path in files.items() if not path.exists()}
    if not missing:
        return
    known = signals(suspect)
    for name, path in missing.items():
        defense = VARIANTS[name]
        watch = Watch(card=card, signals=known)
        defense(suspect, images, trainer=watch)
        clean = {"images": IMAGES, "count": CLEAN_IMAGES}
        facts = {"member": MEMBER, "settings": asdict(defense)} | clean
        write_json(path, facts | {"points": watch.points} | provenance() | {"commit": commit()})


if __name__ == "__main__":
    main()
