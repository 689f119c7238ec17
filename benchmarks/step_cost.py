"""What the training loop costs over the bare networks, as a ratio measured in one run.

    python benchmarks/step_cost.py [--rounds 5] [--steps 4] [--out FILE]

Bare: the teacher's forward pass, and the student's forward and backward pass, over the same views,
two per image, in the same precision and memory layout. Loop: the default defence through the
trainer, with augmentation, patches, losses, the optimizer, the metrics file and a checkpoint. Both
are timed in turn, round by round, so that a drifting machine moves both.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from mimic.defenses.mimic import Mimic, MimicObjective
from mimic.detection.patches import random_patches
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.files import write_json
from mimic.images.imageset import ImageSet
from mimic.training import Plan, Trainer
from mimic.training.precision import open_fabric

ARCHITECTURES = {"small": "resnet10:width=32,stem_stride=2", "resnet18": "resnet18"}
BATCH = 128


def bare_seconds(teacher: Encoder, student: Encoder, steps: int) -> float:
    """Seconds per step of the networks alone."""
    fabric = open_fabric("auto", "auto")
    views = torch.rand(2 * BATCH, 3, 32, 32)
    student.train()
    started = time.perf_counter()
    for _ in range(steps):
        student.zero_grad(set_to_none=True)
        with fabric.autocast():
            with torch.no_grad():
                wanted = teacher(views)
            features = student(views)
        (features.float() - wanted.float()).square().mean().backward()
    return (time.perf_counter() - started) / steps


def loop_seconds(teacher: Encoder, student: Encoder, steps: int) -> float:
    """Seconds per step of the default defence's training, a checkpoint included."""
    images = ImageSet.from_tensor(
        torch.randint(0, 256, (BATCH * steps, 3, 32, 32)).to(torch.uint8), name="noise"
    )
    defaults = Mimic()
    names = teacher.stage_names(images.batch(torch.tensor([0])))
    objective = MimicObjective(
        student,
        teacher,
        images.size,
        weights=dict.fromkeys(names, defaults.stage_weight / len(names)),
        clone_weight=defaults.clone_weight,
        searched=[(random_patches(64), defaults.searched_share)],
        random_share=defaults.random_share,
        repulsion_weight=defaults.repulsion_weight,
        min_scale=defaults.min_scale,
    )
    with tempfile.TemporaryDirectory() as folder:
        history = Trainer(folder=Path(folder)).fit(
            objective, images, Plan(epochs=1, batch_size=BATCH, optimizer="adamw")
        )
    return history.seconds / steps


def compare(architecture: str, *, rounds: int, steps: int) -> dict[str, Any]:
    """Medians of both and of their ratio, pair by pair."""
    teacher = Encoder(build_backbone(architecture)).eval().requires_grad_(False)
    student = Encoder(build_backbone(architecture))
    for encoder in (teacher, student):
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pairs = []
    for turn in range(rounds + 1):
        pair = bare_seconds(teacher, student, steps), loop_seconds(teacher, student, steps)
        student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if turn > 0:
            pairs.append(pair)
    return {
        "architecture": architecture,
        "batch": BATCH,
        "rounds": rounds,
        "steps": steps,
        "bare_seconds": statistics.median(bare for bare, _ in pairs),
        "loop_seconds": statistics.median(loop for _, loop in pairs),
        "ratio": statistics.median(loop / bare for bare, loop in pairs),
        "ratios": [loop / bare for bare, loop in pairs],
    }


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", choices=list(ARCHITECTURES))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    chosen = [asked.only] if asked.only else list(ARCHITECTURES)
    found = {
        name: compare(ARCHITECTURES[name], rounds=asked.rounds, steps=asked.steps)
        for name in chosen
    }
    found["machine"] = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    for name in chosen:
        print(f"{name}: loop / bare = {found[name]['ratio']:.3f}")
    if asked.out:
        write_json(asked.out, found)


if __name__ == "__main__":
    main()
