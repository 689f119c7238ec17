"""The story in five acts: pre-train, attack, purify, train a control, judge all four encoders."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from mimic.demo.cast import Cast
from mimic.demo.facts import gather_facts
from mimic.demo.result import DemoEncoder, DemoResult, check_rules
from mimic.demo.settings import DemoSettings
from mimic.encoders import Encoder, load_encoder, save_encoder
from mimic.encoders.architectures import build_backbone
from mimic.errors import InterruptedRunError
from mimic.evaluation.evaluate import Evaluation, evaluate
from mimic.evaluation.features import extract_features
from mimic.evaluation.heads import fit_linear, predict
from mimic.files import ensure_folder, write_json, write_text
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.report.demo import demo_page
from mimic.report.page import render
from mimic.training import Trainer

FACTS_FILE = "demo.json"
REPORT_FILE = "report.html"
RUNS_FOLDER = "runs"


def run_demo(
    out: Path,
    *,
    seed: int = 0,
    settings: DemoSettings | None = None,
    trainer: Trainer | None = None,
) -> DemoResult:
    """Play the whole story on scikit-learn's digits and write a report about it.

    Args:
        out: where `report.html`, `demo.json` and four encoders go. Trainings are kept in its folder
            `runs`: the same call after an interruption goes on from there.
        seed: decides everything random.
        settings: other sizes than the usual ones.
        trainer: device, precision and progress; its folder is not used. By default the best device,
            with progress on standard error.

    Returns:
        The four encoders with their accuracy and attack success rate, and where the report is.

    Raises:
        InputError: `out` cannot be written, or holds trainings of another seed or other settings.
        InterruptedRunError: SIGINT or SIGTERM arrived; what was done is kept.
        RunError: a training failed, or the disk is full.
    """
    wall, processor = time.monotonic(), time.process_time()
    settings = settings or DemoSettings()
    runs = ensure_folder(out) / RUNS_FOLDER
    resumed = any(runs.glob("*.ckpt"))
    trainer = replace(trainer or Trainer(progress=True), folder=runs, resume=True)
    try:
        with _one_thread():
            cast = _play(settings, seed=seed, trainer=trainer)
            judged = _judge(cast, settings, seed=seed, trainer=trainer)
    except InterruptedRunError as error:
        raise InterruptedRunError(
            f"the demo was interrupted; the same command goes on from '{runs}'"
        ) from error
    result = DemoResult(
        encoders=_save(cast, judged, out),
        checks=check_rules(judged),
        report=out / REPORT_FILE,
        facts=out / FACTS_FILE,
        seed=seed,
        seconds=time.monotonic() - wall,
        cpu_seconds=time.process_time() - processor,
        resumed=resumed,
    )
    facts = gather_facts(cast, result, settings, trainer)
    write_json(result.facts, facts)
    write_text(result.report, render(demo_page(facts)))
    return result


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tensors as small as the demo's are computed faster by one thread than by several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _play(settings: DemoSettings, *, seed: int, trainer: Trainer) -> Cast:
    train, test = (open_images(f"digits:{split}", labels=True) for split in ("train", "test"))
    few = train.sample(count=settings.clean_images, seed=settings.subset_seed(seed)).unlabelled()
    blank = load_encoder(build_backbone(settings.architecture), arch=settings.architecture)

    _announce(trainer, f"1/5 pre-train an encoder on {len(train):,} digits (SimCLR)")
    clean = settings.pretraining(seed)(blank, train.unlabelled(), trainer=trainer)

    _announce(trainer, f"2/5 implant a backdoor that says {settings.target} (BadEncoder)")
    position = choose_reference(clean, train, test, target=settings.target, trainer=trainer)
    reference = test.batch(torch.tensor([position]))
    attack = settings.attack(reference, seed)
    suspicious = attack(clean, train.unlabelled(), trainer=trainer).encoder

    _announce(trainer, f"3/5 purify with {len(few)} clean images: localise, then distil (mimic)")
    purification = settings.defense(seed)(suspicious, few, trainer=trainer)

    _announce(trainer, f"4/5 train a control from scratch on the same {len(few)} images (SimCLR)")
    aside = replace(trainer, folder=None if trainer.folder is None else trainer.folder / "scratch")
    scratch = settings.control(seed)(blank, few, trainer=aside)

    others = torch.arange(len(test))
    return Cast(
        train=train,
        test=test.subset(others[others != position]),
        few=few,
        reference=reference,
        clean=clean,
        suspicious=suspicious,
        purification=purification,
        scratch=scratch,
    )


def choose_reference(
    clean: Encoder, train: ImageSet, test: ImageSet, *, target: int, trainer: Trainer
) -> int:
    """The attacker's pick: the first test image of the target class that the clean encoder knows.

    Args:
        clean: the encoder before the attack.
        train: labelled images for a linear head.
        test: labelled images to pick from.
        target: a class of both.
        trainer: the environment.

    Returns:
        A position in `test`; the first image of the class where the head recognises none.
    """
    quiet = replace(trainer, folder=None, resume=False, progress=False)
    if train.labels is None or test.labels is None:
        raise TypeError("the reference is chosen among labelled images")
    head = fit_linear(extract_features(clean, train, trainer=quiet), train.labels, trainer=quiet)
    known = predict(head, extract_features(clean, test, trainer=quiet)) == target
    of_class = test.labels == target
    chosen = known & of_class if bool((known & of_class).any()) else of_class
    return int(chosen.nonzero()[0])


def _judge(
    cast: Cast, settings: DemoSettings, *, seed: int, trainer: Trainer
) -> dict[str, Evaluation]:
    _announce(trainer, f"5/5 judge four encoders on {len(cast.test)} test images")
    quiet = replace(trainer, folder=None, resume=False, progress=False)
    return {
        name: evaluate(
            encoder,
            cast.train,
            cast.test,
            trigger=settings.stamp(),
            target=settings.target,
            probe=settings.probe,
            seed=seed,
            trainer=quiet,
        )
        for name, encoder in cast.encoders.items()
    }


def _save(cast: Cast, judged: dict[str, Evaluation], out: Path) -> tuple[DemoEncoder, ...]:
    saved = []
    for name, encoder in cast.encoders.items():
        file = out / f"{name}.safetensors"
        digest = save_encoder(encoder, file, extra={"demo": name})
        saved.append(DemoEncoder(name=name, file=file, sha256=digest, evaluation=judged[name]))
    return tuple(saved)


def _announce(trainer: Trainer, what: str) -> None:
    if trainer.progress:
        print(f"mimic demo {what}", file=sys.stderr, flush=True)
