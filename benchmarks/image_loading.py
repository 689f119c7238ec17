"""What a large set of images costs: memory, images per second, and how long a training waits.

    python benchmarks/image_loading.py [--count 200000] [--steps 200] [--architecture resnet18]
        [--device auto] [--folder DIR] [--out FILE]

Soft random pictures, 160x120, are written as JPEG files into WebDataset shards of 10,000, in a
temporary folder. They are opened as a streamed set of 96x96 images, twice: the second time the
index is known. Then all of them are read once in random order without a training, and `--steps`
steps of SimCLR are made with streamed images and with as many images that lie in memory. The share
of the streamed time that the other one does not need is the time that the training waited.
"""

import argparse
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from mimic.benchmark.meter import peak_gpu_memory_mib, peak_memory_mib
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.files import write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.pretraining.simclr import SimClrObjective
from mimic.training import Plan, Trainer
from mimic.training.reading import read_batches

SHARD = 10_000
SIZE = 96
BATCH = 256
IN_MEMORY = 2_048


class Repeated:
    """A few images in memory that stand for many."""

    streamed = False

    def __init__(self, images: ImageSet, length: int) -> None:
        self.pixels = images.batch(torch.arange(min(IN_MEMORY, len(images))))
        self.length = length

    def __len__(self) -> int:
        return self.length

    def batch(self, positions: Tensor) -> Tensor:
        """The images that stand for those at `positions`."""
        return self.pixels[positions % len(self.pixels)]


def jpegs(count: int) -> Iterator[bytes]:
    """Pictures that compress as photographs do."""
    random = np.random.default_rng(0)
    for _ in range(count):
        coarse = random.integers(0, 256, (15, 20, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        picture = Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)
        picture.save(buffer, "JPEG", quality=90)
        yield buffer.getvalue()


def write_shards(folder: Path, count: int) -> int:
    """Write the pictures; bytes of all of them."""
    pictures, total = jpegs(count), 0
    for first in range(0, count, SHARD):
        with tarfile.open(folder / f"pictures-{first // SHARD:06}.tar", "w") as shard:
            for index in range(first, min(first + SHARD, count)):
                data = next(pictures)
                about = tarfile.TarInfo(f"{index:08}.jpg")
                about.size = len(data)
                shard.addfile(about, io.BytesIO(data))
                total += len(data)
    return total


def seconds_to_open(folder: Path) -> tuple[ImageSet, float]:
    started = time.perf_counter()
    images = open_images(folder, size=SIZE, memory_limit=0)
    return images, time.perf_counter() - started


def seconds_to_read(images: ImageSet) -> float:
    """Seconds to read every image once, batch by batch, in random order."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    started = time.perf_counter()
    for _ in read_batches(images, order.split(BATCH)):
        pass
    return time.perf_counter() - started


def seconds_to_train(images: ImageSet, steps: int, *, asked: argparse.Namespace) -> list[float]:
    """Seconds of so many steps of SimCLR: with streamed images, and with images in memory."""
    torch.manual_seed(0)
    encoder = Encoder(build_backbone(asked.architecture), image_size=SIZE)
    objective, trainer = SimClrObjective(encoder, (SIZE, SIZE)), Trainer(device=asked.device)
    plan = Plan(epochs=1, batch_size=BATCH)
    trainer.fit(objective, Repeated(images, 3 * BATCH), plan)  # the first steps are slow
    streamed = images.sample(count=steps * BATCH)
    held = Repeated(images, len(streamed))
    return [trainer.fit(objective, data, plan).seconds for data in (streamed, held)]


def measure(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """All numbers, in the order in which they are measured."""
    written = write_shards(folder, asked.count)
    before = peak_memory_mib()
    images, opened = seconds_to_open(folder)
    _, again = seconds_to_open(folder)
    read = seconds_to_read(images)
    loading = peak_memory_mib()
    steps = max(1, min(asked.steps, asked.count // BATCH))
    streamed, held = seconds_to_train(images, steps, asked=asked)
    return {
        "images": len(images),
        "size": SIZE,
        "file_bytes": written,
        "pixel_bytes": len(images) * 3 * SIZE**2,
        "first_opening_seconds": opened,
        "second_opening_seconds": again,
        "images_per_second": {
            "first_opening": len(images) / opened,
            "reading": len(images) / read,
            "training_streamed": steps * BATCH / streamed,
            "training_in_memory": steps * BATCH / held,
        },
        "waiting_share": max(0.0, 1 - held / streamed),
        "peak_memory_mib": {
            "before_opening": before,
            "after_reading_all": loading,
            "after_training": peak_memory_mib(),
            "gpu": peak_gpu_memory_mib(),
        },
        "training": {"architecture": asked.architecture, "steps": steps, "batch": BATCH},
        "machine": {
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "torch": torch.__version__,
            "pillow": PIL.__version__,
        },
    }


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.count < BATCH:
        parser.error(f"--count must be {BATCH} or more, one batch")
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        os.environ["MIMIC_CACHE"] = str(Path(folder, "cache"))
        shards = Path(folder, "shards")
        shards.mkdir()
        found = measure(shards, asked)
    print(json.dumps(found, indent=2))
    if asked.out:
        write_json(asked.out, found)


if __name__ == "__main__":
    main()
