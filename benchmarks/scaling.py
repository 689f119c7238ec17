"""What a second process is worth: images per second of one training, by number of processes.

    python benchmarks/scaling.py [--processes 1 2] [--steps 20] [--rounds 3] [--batch 128]
        [--architecture resnet18] [--device cpu] [--out results/scaling.json]

SimCLR on random images of 32x32 in memory; the loss compares the images of all processes. The batch
is the same whatever the number of processes is, so that each of two has half of the work. Every
process has one thread on a CPU, and one GPU elsewhere; torchrun starts them, also the single one.
Numbers of processes take turns, round by round, so that a drifting machine moves all of them. The
first steps of each training do not count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from mimic.benchmark.meter import commit
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.files import write_json
from mimic.images.imageset import ImageSet
from mimic.pretraining.simclr import SimClrObjective
from mimic.training import Plan, Trainer, processes
from mimic.zoo.members import provenance

SIZE = 32
WARM_UP = 3


def train(asked: argparse.Namespace) -> float:
    """Images per second of all processes together; what each of them runs."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    objective = SimClrObjective(Encoder(build_backbone(asked.architecture)), (SIZE, SIZE))
    trainer = Trainer(device=asked.device, precision="32-true")
    plan = Plan(epochs=1, batch_size=asked.batch)
    for steps in (WARM_UP, asked.steps):
        pixels = torch.randint(0, 256, (steps * asked.batch, 3, SIZE, SIZE))
        images = ImageSet.from_tensor(pixels.to(torch.uint8), name="noise")
        history = trainer.fit(objective, images, plan)
    return history.images_per_second


def launch(count: int, asked: argparse.Namespace) -> float:
    """The same from outside, for so many processes."""
    settings = [("--steps", asked.steps), ("--batch", asked.batch), ("--device", asked.device)]
    settings.append(("--architecture", asked.architecture))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(count), __file__, "--worker"),
        *(str(word) for setting in settings for word in setting),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["images_per_second"])


def compare(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Medians over the rounds, and how much faster than the first number of processes."""
    found: dict[int, list[float]] = {count: [] for count in asked.processes}
    for _ in range(asked.rounds):
        for count, speeds in found.items():
            speeds.append(launch(count, asked))
    base = statistics.median(found[asked.processes[0]])
    return [
        {
            "processes": count,
            "images_per_second": statistics.median(speeds),
            "times_faster": statistics.median(speeds) / base,
            "rounds": speeds,
        }
        for count, speeds in found.items()
    ]


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        speed = train(asked)
        if processes.is_first():
            print(json.dumps({"images_per_second": speed}), flush=True)
        return
    torch.set_num_threads(1)
    found = {
        "commit": commit(),
        **provenance(),
        "cores": os.cpu_count(),
        "device": asked.device,
        "threads_per_process": 1,
        "architecture": asked.architecture,
        "image_size": SIZE,
        "batch": asked.batch,
        "steps": asked.steps,
        "runs": compare(asked),
    }
    print(json.dumps(found, indent=2))
    if asked.out:
        write_json(asked.out, found)


if __name__ == "__main__":
    main()
