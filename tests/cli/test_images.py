"""`mimic images check`: what is wrong with a set of images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mimic.encoders.architectures import build_backbone
from mimic.encoders.export import save_encoder
from mimic.encoders.loading import load_encoder
from mimic.images.source import open_images

Run = Callable[..., Any]
HARDWARE = ("--device", "cpu", "--precision", "32-true")


@pytest.fixture
def spoiled(pictures: Path) -> Path:
    """24 images and four that should not be there."""
    (pictures / "torn.png").write_bytes(b"torn")
    Image.new("RGB", (8, 8), "red").save(pictures / "red.png")
    first = Image.open(pictures / "000.png")
    first.save(pictures / "again.bmp")
    first.point(lambda level: level - level // 50).save(pictures / "darker.png")
    return pictures


@pytest.fixture
def trained(tmp_path: Path, pictures: Path) -> Path:
    """An encoder whose statistics are those of the pictures."""
    torch.manual_seed(0)
    arch = "resnet10:width=4"
    encoder = load_encoder(build_backbone(arch), arch=arch, image_size=8).train()
    with torch.no_grad():
        for _ in range(60):
            encoder(open_images(pictures).tensor())
    path = tmp_path / "in" / "trained.safetensors"
    save_encoder(encoder.eval(), path)
    return path


def test_clean_images_are_code_0(run: Run, pictures: Path) -> None:
    outcome = run("images", "check", pictures)
    assert outcome.code == 0
    assert "24 images, 24 of them readable" in outcome.out
    assert "none is broken, of a single colour, or there twice" in outcome.out


def test_findings_are_code_1_and_named_in_json(run: Run, spoiled: Path) -> None:
    outcome = run("images", "check", spoiled, "--json")
    data = outcome.data
    assert outcome.code == 1
    assert (data["count"], data["readable"]) == (28, 27)
    assert data["sizes"] == [{"height": 8, "width": 8, "count": 27}]
    assert data["broken"][0].startswith("torn.png: not an image")
    assert data["constant"] == ["red.png"]
    assert data["duplicates"] == [["000.png", "again.bmp"]]
    assert data["near_duplicates"] == [["000.png", "again.bmp", "darker.png"]]
    assert data["statistics"] is None


def test_people_read_the_same(run: Run, spoiled: Path) -> None:
    lines = run("images", "check", spoiled).out.splitlines()
    assert lines[1] == "height x width: 8x8 (27)"
    assert "  000.png = again.bmp" in lines
    assert "  000.png ~ again.bmp ~ darker.png" in lines


def test_long_lists_are_cut_for_people_alone(run: Run, tmp_path: Path) -> None:
    for index in range(13):
        (tmp_path / f"{index:02}.png").write_bytes(b"torn")
    assert "  and 3 more" in run("images", "check", tmp_path).out
    assert len(run("images", "check", tmp_path, "--json").data["broken"]) == 13


def test_images_that_the_encoder_knows_are_code_0(run: Run, pictures: Path, trained: Path) -> None:
    outcome = run("images", "check", pictures, "--encoder", trained, *HARDWARE, "--json")
    assert outcome.code == 0
    assert outcome.data["statistics"]["unlike"] is False
    assert outcome.data["statistics"]["images"] == 24


def test_images_unlike_those_of_the_training_are_a_finding(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    dark = tmp_path / "dark"
    dark.mkdir()
    for index in range(20):
        picture = Image.new("RGB", (8, 8))
        picture.putpixel((index % 8, index // 8), (40, 0, 9))
        picture.save(dark / f"{index}.png")
    outcome = run("images", "check", dark, "--encoder", trained, *HARDWARE)
    assert outcome.code == 1
    assert "look unlike those that the encoder was trained on" in outcome.out


def test_encoder_that_has_seen_nothing_cannot_tell(
    run: Run, pictures: Path, encoder_file: Path
) -> None:
    outcome = run("images", "check", pictures, "--encoder", encoder_file, *HARDWARE)
    assert outcome.code == 0
    assert "cannot be told" in outcome.out


def test_broken_images_are_left_out_of_the_comparison(
    run: Run, tmp_path: Path, trained: Path, pictures: Path
) -> None:
    for index in range(30):
        (pictures / f"torn{index}.png").write_bytes(b"torn")
    outcome = run("images", "check", pictures, "--encoder", trained, *HARDWARE, "--json")
    assert (outcome.code, outcome.data["statistics"]["images"]) == (1, 24)


@pytest.mark.parametrize("arguments", [("nowhere",), ("digits", "--encoder", "nowhere.pth")])
def test_what_is_not_there_is_wrong_use(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run("images", "check", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "nowhere" in outcome.error
