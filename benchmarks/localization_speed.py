"""Speed and error of our localisation against the published procedure.

    python benchmarks/localization_speed.py --out localization_speed.json

Speed: ours is run in full. The published procedure (200 epochs; per batch and stage one encoder
pass to train the critic and one to evaluate it) is run on a few batches of each stage, and its time
is extrapolated; the JSON says so. Both see the same encoder, images and threads. On a CPU that is
shared with other work, compare the processor seconds: they do not count waiting.

Error: distributions whose mutual information is known exactly, seen by both with their own settings
(ours held out, the published one in-sample). No image files are needed: speed depends on shapes.
"""

import argparse
import json
import math
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from reference import provenance
from torch import Tensor
from torch.nn import functional as F

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.files import write_json
from mimic.images.imageset import ImageSet
from mimic.information.critics import ConcatenatedCritic
from mimic.information.estimate import estimate
from mimic.information.localize import localize
from mimic.information.published import (
    BATCH_SIZE,
    EPOCHS,
    published_estimate,
    shuffled_donsker_varadhan,
)
from mimic.information.samplers import (
    Sample,
    correlated_gaussian,
    dense_gaussian,
    permuted,
    student_t,
    uniform_noise,
)
from mimic.training import Trainer


def main() -> None:
    settings = parse_arguments()
    torch.manual_seed(0)
    encoder = Encoder(build_backbone(settings.arch)).eval()
    size = (settings.images, 3, settings.size, settings.size)
    images = ImageSet.from_tensor(torch.randint(0, 256, size, dtype=torch.uint8))
    result: dict[str, Any] = {
        "arch": settings.arch,
        "images": settings.images,
        "threads": torch.get_num_threads(),
        "device": settings.device,
    } | provenance()
    if not settings.skip_speed:
        result["speed"] = measure_speed(encoder, images, settings)
    if not settings.skip_error:
        result["error"] = measure_error(settings)
    print(json.dumps(result, indent=2))
    if settings.out is not None:
        write_json(settings.out, result)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--batches", type=int, default=2, help="measured per stage")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the published procedure")
    parser.add_argument("--samples", type=int, default=2000, help="of the cases of known MI")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of these cases")
    parser.add_argument("--estimator", default="infonce")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--skip-speed", action="store_true")
    parser.add_argument("--skip-error", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def measure_speed(
    encoder: Encoder, images: ImageSet, settings: argparse.Namespace
) -> dict[str, Any]:
    """Seconds of both procedures on the same images."""
    trainer = Trainer(device=settings.device)
    started = time.process_time()
    ours = localize(
        encoder, images, estimator=settings.estimator, max_images=len(images), trainer=trainer
    )
    ours_processor = time.process_time() - started
    batches = math.ceil(len(images) / BATCH_SIZE) * settings.epochs
    stages = encoder.stage_names(images.batch(torch.tensor([0])))
    encoder = encoder.to(settings.device)
    per_batch = {
        stage: published_batch_seconds(encoder, images, stage, settings.batches) for stage in stages
    }
    published = batches * sum(wall for wall, _ in per_batch.values())
    published_processor = batches * sum(processor for _, processor in per_batch.values())
    return {
        "ours_seconds": ours.seconds,
        "ours_processor_seconds": ours_processor,
        "published_seconds": published,
        "published_processor_seconds": published_processor,
        "published_is_extrapolated_from": f"{settings.batches} batches of each stage",
        "published_seconds_per_batch": {stage: wall for stage, (wall, _) in per_batch.items()},
        "published_epochs": settings.epochs,
        "times_faster": published / ours.seconds,
        "times_faster_processor": published_processor / ours_processor,
        "stages": ours.as_dict()["stages"],
    }


def published_batch_seconds(
    encoder: Encoder, images: ImageSet, stage: str, batches: int
) -> tuple[float, float]:
    """Median wall-clock and processor seconds of the published procedure per batch and epoch."""
    x, y = encode(encoder, images, stage, 0)
    critic = ConcatenatedCritic(x.shape[1], y.shape[1]).to(x.device)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, weight_decay=1e-5)
    wall, processor = [], []
    for index in range(batches + 1):
        synchronize(x.device)
        started = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        (-shuffled_donsker_varadhan(critic, *encode(encoder, images, stage, index))).backward()
        optimizer.step()
        with torch.no_grad():
            shuffled_donsker_varadhan(critic, *encode(encoder, images, stage, index)).item()
        synchronize(x.device)
        wall.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    return statistics.median(wall[1:]), statistics.median(processor[1:])  # the first one allocates


@torch.no_grad()
def encode(encoder: Encoder, images: ImageSet, stage: str, index: int) -> tuple[Tensor, Tensor]:
    """One encoder pass: the flattened map of a stage and the normalised feature of a batch."""
    positions = torch.arange(index * BATCH_SIZE, (index + 1) * BATCH_SIZE) % len(images)
    batch = images.batch(positions).to(encoder.mean.device)
    features, maps = encoder.forward_stages(batch, [stage])
    return maps[stage].flatten(1), F.normalize(features, dim=1)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_error(settings: argparse.Namespace) -> dict[str, Any]:
    """Absolute error in nats of both procedures, per case and on average over cases and seeds."""
    trainer = Trainer(device=settings.device)
    cases: dict[str, list[dict[str, float]]] = {}
    for seed in settings.seeds:
        for name, sample in known_cases(settings.samples, seed).items():
            found = both_estimates(sample, seed, settings, trainer)
            cases.setdefault(name, []).append(found)
            print(f"{name}, seed {seed}: {json.dumps(found)}", file=sys.stderr, flush=True)
    every = [one for case in cases.values() for one in case]
    averages = {
        f"{who}_mean_error": statistics.fmean(one[f"{who}_error"] for one in every)
        for who in ("ours", "published")
    }
    return averages | {"samples": settings.samples, "seeds": settings.seeds, "cases": cases}


def both_estimates(
    sample: Sample, seed: int, settings: argparse.Namespace, trainer: Trainer
) -> dict[str, float]:
    x, y = sample.x.float(), sample.y.float()
    ours = estimate(x, y, estimator=settings.estimator, seed=seed, trainer=trainer)
    published = published_estimate(x, y, epochs=settings.epochs, seed=seed, trainer=trainer)
    return {
        "exact_nats": sample.nats,
        "ours_nats": ours.nats,
        "ours_standard_error": ours.standard_error,
        "ours_error": abs(ours.nats - sample.nats),
        "published_nats": published.nats,
        "published_error": abs(published.nats - sample.nats),
    }


def known_cases(samples: int, seed: int) -> dict[str, Sample]:
    """Distributions with exact mutual information, from none to much, in 1 to 64 dimensions."""
    gaussian = partial(correlated_gaussian, samples=samples, seed=seed)
    return {
        "independent, 2 x 2": gaussian(0.0, dimensions=2),
        "independent, 64 x 64": permuted(gaussian(0.5, dimensions=64), seed=seed + 1),
        "gaussian, rho .7, 1 x 1": gaussian(0.7),
        "gaussian, rho .5, 5 x 5": gaussian(0.5, dimensions=5),
        "gaussian, dense .5, 25 x 25": dense_gaussian(
            x_dimensions=25, y_dimensions=25, samples=samples, seed=seed
        ),
        "uniform noise .25": uniform_noise(0.25, samples=samples, seed=seed),
        "student-t, 2 degrees, 2 x 2": student_t(
            degrees=2, x_dimensions=2, y_dimensions=2, samples=samples, seed=seed
        ),
    }


if __name__ == "__main__":
    main()
