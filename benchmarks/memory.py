"""What activation checkpointing is worth: peak memory and time of a training, with and without.

    python benchmarks/memory.py [--architectures resnet50 vit_tiny:dim=192,depth=12,heads=3,patch=4]
        [--batch 256] [--device cpu] [--out results/memory.json]

Dry runs of SimCLR on random images of 32x32, each in a process of its own, with one thread on a
CPU. Memory is that of the GPU, or else of the whole process, of which `idle_memory_mib` is there
before the first step.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mimic.benchmark.meter import commit
from mimic.files import write_json
from mimic.zoo.members import provenance

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("resnet50", "vit_tiny:dim=192,depth=12,heads=3,patch=4")


def rehearse(images: Path, architecture: str, batch: int, device: str, *extra: str) -> Any:
    """What a dry run says, as a dictionary."""
    command = [
        *(sys.executable, "-m", "mimic", "pretrain", "--images", str(images)),
        *("--arch", architecture, "--image-size", "32", "--batch-size", str(batch)),
        *("--epochs", "1", "--device", device, "--precision", "32-true"),
        *("--out", "never-written.safetensors", "--dry-run", "--json", *extra),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def compare(images: Path, architecture: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One row: with a batch of two images, with all, and with all but less in memory."""
    idle = rehearse(images, architecture, 2, asked.device)
    plain = rehearse(images, architecture, asked.batch, asked.device)
    less = rehearse(images, architecture, asked.batch, asked.device, "--activation-checkpointing")
    return {
        "architecture": architecture,
        "parameters": plain["parameters"],
        "idle_memory_mib": idle["peak_memory_mib"],
        "plain_memory_mib": plain["peak_memory_mib"],
        "checkpointing_memory_mib": less["peak_memory_mib"],
        "times_slower": less["training_seconds"] / plain["training_seconds"],
    }


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "noise.npz")
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, (4 * asked.batch, 32, 32, 3), dtype=np.uint8)
        np.savez(images, x=pixels)
        rows = [compare(images, architecture, asked) for architecture in asked.architectures]
    data = {
        "batch": asked.batch,
        "device": asked.device,
        "rows": rows,
        "provenance": {**provenance(), "commit": commit()},
    }
    print(json.dumps(data, indent=2))
    if asked.out is not None:
        write_json(asked.out, data)


if __name__ == "__main__":
    main()
