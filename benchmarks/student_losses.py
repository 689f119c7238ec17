"""How much should the stages count for a student of another architecture? Chosen without labels.

    python benchmarks/student_losses.py [--seeds 0 1] [--epochs 100] [--count 2000]

The student is `resnet10:width=16`, half as wide as the encoders of the zoo; the teacher is
small-badencoder. Stages of different shapes are compared by their pooled relations, and
`stage_weight` says how much they count: 0 copies features alone. Judged is what nobody needs labels
for: the cosine to the teacher's features, and the mutual neighbours, on 1,000 training images that
the student has not seen. The searches are left out, as they have nothing to do with the choice: the
views that they would change are covered at random. Cards go to results/student-losses/.
"""

import argparse
from dataclasses import asdict

import reference
import torch

from mimic.defenses import Mimic
from mimic.encoders.loading import load_encoder
from mimic.evaluation.features import extract_features
from mimic.evaluation.similarity import paired_cosine
from mimic.files import sha256, write_json
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.training.randomness import seeded
from mimic.verification.metrics import mutual_neighbours

RESULTS, RUNS = (reference.ROOT / place / "student-losses" for place in ("results", "runs"))
STUDENT = "resnet10:width=16"
WEIGHTS = (0.0, 0.25, 1.0, 4.0)
JUDGES = 1000


def divided(count: int, seed: int) -> tuple[ImageSet, ImageSet]:
    """Images to train on, and others to judge by."""
    images = reference.images("cifar10:train")
    with seeded(seed):
        order = torch.randperm(len(images))
    return images.subset(order[:count]), images.subset(order[count : count + JUDGES])


def run(weight: float, seed: int, *, epochs: int, count: int) -> None:
    """Distil, judge, and write the card, unless there is one."""
    name = f"weight{weight:g}-seed{seed}"
    card = RESULTS / f"{name}.json"
    if card.exists():
        return
    defense = Mimic(
        student=STUDENT,
        epochs=epochs,
        seed=seed,
        stage_weight=weight,
        searched_share=0.0,
        recoloured_share=0.0,
        random_share=0.4,
    )
    images, judges = divided(count, seed)
    suspect = load_encoder(reference.SUSPECT)
    trainer = Trainer(progress=True, folder=RUNS / f"{name}-{epochs}-{count}", resume=True)
    result = defense(suspect, images, trainer=trainer)
    own, wanted = (
        extract_features(encoder, judges, trainer=Trainer())
        for encoder in (result.encoder, suspect)
    )
    found = {
        "encoder_sha256": sha256(reference.SUSPECT),
        "settings": asdict(defense),
        "images": count,
        "cosine": paired_cosine(own, wanted),
        "mutual_neighbours": mutual_neighbours(own, wanted),
        "seconds": result.history.seconds,
    }
    write_json(card, found | reference.provenance())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--count", type=int, default=2000)
    asked = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for seed in asked.seeds:
        for weight in WEIGHTS:
            run(weight, seed, epochs=asked.epochs, count=asked.count)


if __name__ == "__main__":
    main()
