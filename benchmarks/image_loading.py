"""What a large set of images costs: memory, images per second, and how long a training waits.

    python benchmarks/image_loading.py [--count 200000] [--steps 200] [--architecture resnet18]
        [--device auto] [--folder DIR] [--out FILE]

Soft random pictures, 160x120, are written as JPEG files into WebDataset shards of 10,000. They are
opened as a streamed set of 96x96 images, twice: the second time the index is known. Then all of
them are read once in random order without a training, and `--steps` steps of SimCLR are made with
streamed images and with as many images that lie in memory. The share of the streamed time that the
other one does not need is the time that the training, and so the device, waited for images.

An interrupted run goes on where it was: shards, and measurements with the largest memory of the
process at their end, are kept in DIR/image_loading (DIR is runs/ by default) until all is done.
"""

import argparse
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from mimic.benchmark.meter import commit, peak_gpu_memory_mib, peak_memory_mib
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.files import atomic_write, ensure_folder, write_json
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.pretraining.simclr import SimClrObjective
from mimic.training import Plan, Trainer
from mimic.training.reading import read_batches

ROOT = Path(__file__).resolve().parent.parent
SHARD = 10_000
SIZE = 96
BATCH = 256
BLOCK = 100
"""Batches that are read before the time is noted."""
IN_MEMORY = 2_048
STATE = "state.json"


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


class State:
    """What has been measured already, in a file.

    Raises:
        SystemExit: the file is of a run with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.path = folder / STATE
        self.found: dict[str, Any] = {"settings": settings}
        if self.path.exists():
            self.found = json.loads(self.path.read_text())
        if self.found["settings"] != settings:
            raise SystemExit(f"{folder} holds a run with other settings; delete it to start anew")

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` gives, which is done unless it was done before; notes the memory too."""
        if name not in self.found:
            value = work()
            self.found[name] = {"value": value, "peak_memory_mib": peak_memory_mib()}
            write_json(self.path, self.found)
        return self.found[name]["value"]

    def memory(self, name: str) -> float | None:
        """Largest memory at the end of that work."""
        return self.found[name]["peak_memory_mib"]


def jpeg(random: np.random.Generator) -> bytes:
    """A picture that compresses as photographs do."""
    coarse = random.integers(0, 256, (15, 20, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_shards(folder: Path, count: int) -> int:
    """Write the shards that are not there yet; bytes of all of them."""
    shards = [folder / f"pictures-{index:06}.tar" for index in range(-(-count // SHARD))]
    for number, path in enumerate(shards):
        if path.exists():
            continue
        random = np.random.default_rng(number)
        with atomic_write(path) as temporary, tarfile.open(temporary, "w") as shard:
            for index in range(number * SHARD, min((number + 1) * SHARD, count)):
                data = jpeg(random)
                about = tarfile.TarInfo(f"{index:08}.jpg")
                about.size = len(data)
                shard.addfile(about, io.BytesIO(data))
    return sum(path.stat().st_size for path in shards)


def open_shards(folder: Path) -> ImageSet:
    return open_images(folder, size=SIZE, memory_limit=0)


def seconds_to_open(folder: Path) -> float:
    started = time.perf_counter()
    open_shards(folder)
    return time.perf_counter() - started


def seconds_to_read(images: ImageSet, state: State) -> float:
    """Seconds to read every image once, batch by batch, in random order."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    chunks = order.split(BATCH)

    def read(first: int) -> float:
        started = time.perf_counter()
        for _ in read_batches(images, chunks[first : first + BLOCK]):
            pass
        return time.perf_counter() - started

    return sum(
        state.once(f"read {first}", partial(read, first)) for first in range(0, len(chunks), BLOCK)
    )


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
    steps = max(1, min(asked.steps, asked.count // BATCH))
    settings = {"images": asked.count, "steps": steps, "architecture": asked.architecture}
    shards = folder / "shards"
    ensure_folder(shards)
    state = State(folder, settings | {"device": asked.device})
    written = state.once("write", lambda: write_shards(shards, asked.count))
    opened = state.once("first opening", lambda: seconds_to_open(shards))
    again = state.once("second opening", lambda: seconds_to_open(shards))
    before = peak_memory_mib()
    images = open_shards(shards)
    read = seconds_to_read(images, state)
    loading = max(state.memory(name) or 0 for name in state.found if name.startswith("read "))
    streamed, held = state.once("train", lambda: seconds_to_train(images, steps, asked=asked))
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
            "after_first_opening": state.memory("first opening"),
            "after_reading_all": loading,
            "after_training": state.memory("train"),
            "gpu": peak_gpu_memory_mib(),
        },
        "training": {"architecture": asked.architecture, "steps": steps, "batch": BATCH},
        "commit": commit() or "",
        "machine": {
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "torch": torch.__version__,
            "pillow": PIL.__version__,
        },
    }


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "image_loading.json")
    asked = parser.parse_args()
    if asked.count < BATCH:
        parser.error(f"--count must be {BATCH} or more, one batch")
    folder = asked.folder / "image_loading"
    os.environ["MIMIC_CACHE"] = str(folder / "cache")
    found = measure(folder, asked)
    print(json.dumps(found, indent=2))
    write_json(asked.out, found)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
