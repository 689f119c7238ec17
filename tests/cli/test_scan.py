"""`mimic scan` and `mimic verify` on the command line: verdict, exit code, files, refusals."""

import json

import numpy as np
import pytest
from PIL import Image

from mimic.detection import families
from mimic.detection import scan as scanning
from mimic.detection.calibration import Calibration

from ..searches import shorten_gradients, shorten_searches

HARDWARE = ("--device", "cpu", "--precision", "32-true")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_searches(monkeypatch, population=16, rounds=1, judged_on=8)
    shorten_gradients(monkeypatch, steps=2, restarts=3)


@pytest.fixture
def many(tmp_path):
    """130 images of 8x8 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (130, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", x=pixels)
    return tmp_path / "many.npz"


def calibrate(monkeypatch, level: float) -> None:
    values = tuple(level + 0.01 * index for index in range(20))
    known = Calibration(kind="made up", values=dict.fromkeys(families.FAMILIES, values))
    monkeypatch.setattr(scanning, "shipped_calibration", lambda: known)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("level", "code", "verdict"), [(-9.0, 1, "suspicious"), (9.0, 0, "clean")])
def test_a_finding_is_exit_code_1(
    run, encoder_file, many, monkeypatch, tmp_path, level, code, verdict
):
    calibrate(monkeypatch, level)
    out = tmp_path / "found"
    outcome = run("scan", encoder_file, "--images", many, "--out", out, "--json", *HARDWARE)
    assert (outcome.code, outcome.data["verdict"]) == (code, verdict)
    assert json.loads((out / "scan.json").read_text()) == outcome.data
    for path in outcome.data["pictures"]:
        with Image.open(path) as picture:
            assert picture.size == (4 * 128, 2 * 128)
    assert len(outcome.data["pictures"]) == len(families.FAMILIES)


@pytest.mark.usefixtures("hasty")
def test_a_scan_is_reported_for_people_programs_and_code_scanning(
    run, encoder_file, many, monkeypatch, tmp_path
):
    calibrate(monkeypatch, -9.0)
    out = tmp_path / "found"
    outcome = run("scan", encoder_file, "--images", many, "--out", out, *HARDWARE)
    assert outcome.code == 1
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "Do not build on this encoder" in html
    facts = json.loads((out / "report.json").read_text())
    command = f"mimic scan {encoder_file} --images {many} --out {out} --device cpu"
    assert facts["command"] == f"{command} --precision 32-true"
    (result,) = json.loads((out / "scan.sarif").read_text())["runs"][0]["results"]
    assert result["properties"]["pValue"] == facts["scan"]["p_value"]
    assert str(out / "report.html") in outcome.out


@pytest.mark.usefixtures("hasty")
def test_references_take_the_place_of_the_encoders_that_come_with_mimic(run, encoder_file, many):
    references = ("--reference", encoder_file) * 3
    outcome = run("scan", encoder_file, *references, "--images", many, "--json", *HARDWARE)
    assert (outcome.code, outcome.data["verdict"]) == (0, "clean")
    assert outcome.data["score"] == 0
    assert outcome.data["calibration"] == "3 clean encoders: given as references"


@pytest.mark.usefixtures("hasty")
def test_a_verification_compares_with_references_too(run, encoder_file, many):
    references = ("--reference", encoder_file) * 3
    outcome = run(
        *("verify", encoder_file, encoder_file, *references, "--images", many, "--json"), *HARDWARE
    )
    for scanned in ("scan_before", "scan_after"):
        assert outcome.data[scanned]["calibration"] == "3 clean encoders: given as references"


def test_two_references_are_too_few(run, encoder_file, many):
    references = ("--reference", encoder_file) * 2
    outcome = run("scan", encoder_file, *references, "--images", many, *HARDWARE)
    assert outcome.code == 2
    assert "2 clean encoders do not tell" in outcome.error


@pytest.mark.usefixtures("hasty")
def test_without_a_folder_nothing_is_written(run, encoder_file, many, monkeypatch, tmp_path):
    calibrate(monkeypatch, 9.0)
    before = sorted(tmp_path.rglob("*"))
    outcome = run("scan", encoder_file, "--images", many, "--json", *HARDWARE)
    assert outcome.data["report"] is None
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("hasty")
def test_people_read_the_verdict_first(run, encoder_file, many, monkeypatch):
    calibrate(monkeypatch, -9.0)
    outcome = run("scan", encoder_file, "--images", many, *HARDWARE)
    assert outcome.out.splitlines()[0].startswith(f"'{encoder_file}' looks SUSPICIOUS")
    assert "a patch over" in outcome.out


@pytest.mark.usefixtures("hasty")
def test_an_encoder_that_shows_nothing_is_not_accepted_in_its_own_place(
    run, encoder_file, many, monkeypatch, tmp_path
):
    calibrate(monkeypatch, 9.0)
    outcome = run(
        *("verify", encoder_file, encoder_file, "--images", many, "--json", *HARDWARE),
        *("--out", tmp_path / "found"),
    )
    assert (outcome.code, outcome.data["verdict"]) == (1, "undecided")
    assert json.loads((tmp_path / "found" / "verify.json").read_text()) == outcome.data
    html = (tmp_path / "found" / "report.html").read_text(encoding="utf-8")
    assert "Not decided whether the purified encoder can be used" in html
    facts = json.loads((tmp_path / "found" / "report.json").read_text())
    assert facts["verification"]["verdict"] == "undecided"
    assert [one["role"] for one in facts["encoders"]] == ["before", "after"]


@pytest.mark.usefixtures("hasty")
def test_people_read_the_reasons(run, encoder_file, many, monkeypatch):
    calibrate(monkeypatch, 9.0)
    outcome = run("verify", encoder_file, encoder_file, "--images", many, *HARDWARE)
    assert outcome.out.splitlines()[0] == "Verdict: undecided."
    assert "no trigger was found on the old encoder" in outcome.out


def test_too_few_images_are_one_sentence(run, encoder_file, pictures):
    outcome = run("scan", encoder_file, "--images", pictures, *HARDWARE)
    assert outcome.code == 2
    assert "64 clean images or more" in outcome.error
