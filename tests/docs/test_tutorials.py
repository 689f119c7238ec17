"""The tutorials run from top to bottom: Python in one namespace, commands in this process."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mimic.cli.main import main
from mimic.detection import families
from mimic.detection import scan as scanning
from mimic.detection.calibration import Calibration
from mimic.encoders.architectures import build_backbone
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError
from mimic.images.source import open_images
from mimic.images.writing import write_images
from mimic.information.fitting import Fitting
from mimic.libraries import import_library

from ..searches import shorten_gradients, shorten_searches

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
HARDWARE = ("--device", "cpu", "--precision", "32-true")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*?(?:\\\n.*?)*)$", re.MULTILINE)

SHORTER = {"--epochs 100": "--epochs 1"}
REPLACED: dict[str, dict[str, str]] = {
    "torchvision-resnet50": {
        "--image-size 224": "--image-size 32",
        "size=224": "size=32",
        "--epochs 100": "--epochs 1 --no-verify",
    },
    "clip-vit": {
        **SHORTER,
        "ViT-B-32": "tiny-tutorial",
        'pretrained="laion2b_s34b_b79k"': "pretrained=None",
    },
    "your-own-module": SHORTER,
    "from-python": {},
}
"""What the tests put in the place of what the pages say, as the pages themselves tell."""
LIBRARIES = {"torchvision-resnet50": "torchvision", "clip-vit": "open_clip"}
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Critics that are hardly trained and searches of a moment."""
    monkeypatch.setattr("mimic.information.estimate.Fitting", partial(Fitting, steps=2))
    shorten_searches(monkeypatch, population=16, rounds=1, keep=8, judged_on=4)
    shorten_gradients(monkeypatch, steps=2, restarts=3)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own, offline, and with random numbers of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with torch.random.fork_rng(devices=[]):
        yield


def page_of(name: str) -> str:
    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    blocks = _FENCE.findall(text)
    for old, new in REPLACED.get(name, {}).items():
        assert any(old in code for _, code in blocks), f"'{old}' is no longer on the page"
        text = text.replace(old, new)
    return text


def run_command(text: str) -> None:
    """Run what follows a `$`; installations are not repeated, and findings are allowed."""
    words = shlex.split(text.replace("\\\n", " "))
    if words[0] == "pip":
        return
    assert words[0] == "mimic"
    hardware = () if words[1] == "images" else HARDWARE
    assert main([*words[1:], *hardware]) in (0, 1), text


def run_page(name: str) -> int:
    """Run all blocks of a page in order; how many there were."""
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    blocks = _FENCE.findall(page_of(name))
    for language, code in blocks:
        file = re.match(r"# (\w+\.py)\n", code)
        if language == "python" and file is not None:
            Path(file[1]).write_text(code)
        elif language == "python":
            exec(compile(code, name, "exec"), namespace)
        elif language == "console":
            for command in _COMMAND.findall(code):
                run_command(command)
        else:
            raise AssertionError(f"a block of '{language}' is not run")
    return len(blocks)


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_a_tutorial_runs_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    if name in LIBRARIES:
        try:
            library = import_library(LIBRARIES[name])
        except InputError as error:
            pytest.skip(str(error))
        if name == "clip-vit":
            (tmp_path / "tiny-tutorial.json").write_text(json.dumps(TINY_CLIP))
            library.add_model_config(tmp_path / "tiny-tutorial.json")
    assert run_page(name) >= 6


def test_the_snippet_about_students_runs(tmp_path: Path) -> None:
    arch = "resnet10:width=8"
    encoder = load_encoder(build_backbone(arch), arch=arch, image_size=16)
    save_encoder(encoder, tmp_path / "suspect.safetensors")
    text = (TUTORIALS.parent / "encoders.md").read_text(encoding="utf-8")
    (snippet,) = [code for language, code in _FENCE.findall(text) if language == "python"]
    names: dict[str, Any] = {}
    exec(compile(snippet, "encoders.md", "exec"), names)
    assert f"`{names['result'].encoder.architecture}`" in text


def test_every_tutorial_is_run() -> None:
    assert {page.stem for page in TUTORIALS.glob("*.md")} == {*REPLACED, "ci-gate"}


@pytest.fixture
def gate(tmp_path: Path) -> list[list[str]]:
    """The commands of the page about CI, and the files that it speaks of."""
    arch = "resnet10:width=2"
    torch.manual_seed(0)
    encoder = load_encoder(build_backbone(arch), arch=arch, image_size=8)
    save_encoder(encoder, tmp_path / "encoder.safetensors")
    save_encoder(encoder.reinitialized(1), tmp_path / "purified" / "encoder.safetensors")
    digits = open_images("digits:train", size=8).sample(count=128, seed=0)
    write_images(digits.unlabelled(), tmp_path / "images.npz")
    commands = re.findall(r"^ *(?:run: )?(mimic .*)$", page_of("ci-gate"), re.MULTILINE)
    return [shlex.split(re.sub(r" (> |\|\|).*", "", command)) for command in commands]


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Say what clean encoders give, so that an encoder above it is suspicious."""

    def calibrate(level: float) -> None:
        values = tuple(level + 0.01 * index for index in range(20))
        known = Calibration(kind="made up", values=dict.fromkeys(families.FAMILIES, values))
        monkeypatch.setattr(scanning, "shipped_calibration", lambda: known)

    return calibrate


def test_the_gate_has_a_scan_in_a_shell_and_in_a_workflow_and_a_verification(gate) -> None:
    assert [words[1] for words in gate] == ["scan", "scan", "verify"]


@pytest.mark.parametrize(("level", "code"), [(9.0, 0), (-9.0, 1)])
def test_the_scan_of_the_gate_ends_with_the_code_of_the_table(gate, calibrated, level, code):
    calibrated(level)
    assert main([*gate[1][1:], *HARDWARE]) == code


def test_the_scan_of_the_gate_writes_what_the_workflow_uploads(gate, calibrated) -> None:
    calibrated(-9.0)
    main([*gate[1][1:], *HARDWARE])
    (uploaded,) = re.findall(r"sarif_file: (\S+)", page_of("ci-gate"))
    assert json.loads(Path(uploaded).read_text())["version"] == "2.1.0"


def test_the_gate_stops_for_a_file_that_is_no_checkpoint(gate) -> None:
    Path("encoder.safetensors").write_text("<html>not found</html>")
    assert main([*gate[1][1:], *HARDWARE]) == 2


def test_a_purification_that_is_not_accepted_does_not_pass_the_gate(gate, calibrated) -> None:
    calibrated(9.0)
    assert main([*gate[2][1:], *HARDWARE]) == 1


def test_the_workflow_is_well_formed() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extras 'docs' and 'hub'")
    (text,) = [code for language, code in _FENCE.findall(page_of("ci-gate")) if language == "yaml"]
    steps = yaml.safe_load(text)["jobs"]["scan"]["steps"]
    scan = next(index for index, step in enumerate(steps) if step.get("name") == "Scan")
    assert all("always()" in step["if"] for step in steps[scan + 1 :])
