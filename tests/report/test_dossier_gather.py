"""Gathering a report: from encoders and what was found about them to facts, and to files."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mimic.defenses.base import Purification
from mimic.defenses.changes import Change
from mimic.detection.doors import Doors
from mimic.detection.patches import random_patches
from mimic.detection.scan import Scan
from mimic.detection.waves import random_waves
from mimic.encoders.encoder import Encoder
from mimic.encoders.origin import Origin
from mimic.errors import InputError
from mimic.report.dossier import (
    Context,
    write_purification_report,
    write_scan_report,
    write_verification_report,
)
from mimic.report.dossier.gather import best_doors, gather
from mimic.training import History, Trainer

from .dossier_support import verified

EPOCH = {"epoch": 1, "step": 3, "learning_rate": 0.1, "images_per_second": 9.0, "seconds": 1.0}


def white_corner(images: torch.Tensor) -> torch.Tensor:
    stamped = images.clone()
    stamped[:, :, 4:, 4:] = 255
    return stamped


def doors(family: str, gain: float) -> Doors:
    return Doors(
        family=family,
        gain=gain,
        forgotten=(0.9,),
        natural=(0.1,),
        stamps=(white_corner,),
        naturals=(white_corner,),
        description=f"a {family}",
    )


def scan(verdict: Any = "suspicious") -> Scan:
    return Scan(
        verdict=verdict,
        score=9.0,
        p_value=0.04,
        doors=(doors("pattern", 0.1), doors("patch", 3.0)),
        p_values={"pattern": 0.5, "patch": 0.04},
        cosine_before=0.1,
        cosine_after={"pattern": 0.2, "patch": 0.99},
        displaced={"pattern": 1.5, "patch": 3.0},
        images_used=64,
        calibration="clean encoders of one's own",
        seconds=1.0,
    )


def verification(after: str = "clean") -> Any:
    """What a verification has to have for a report."""
    return SimpleNamespace(
        scan_before=scan(), scan_after=scan(after), as_dict=lambda: verified() | {"new": None}
    )


@pytest.fixture
def context() -> Context:
    return Context(command="mimic", seed=3, trainer=Trainer(device="cpu", precision="32-true"))


@pytest.fixture
def gathered(with_door, without_door, noise, context):
    encoders = {"before": with_door, "after": without_door}
    return gather("verification", encoders, noise, context=context, verification=verification())


def spread(points: Any) -> float:
    return float(torch.tensor(points, dtype=torch.float64).var(dim=0).sum())


def test_features_gather_where_there_is_a_door_and_not_where_there_is_none(gathered):
    before, after = gathered.features
    assert spread(before.triggered) < 1e-6 * spread(before.clean)
    assert spread(after.triggered) > 0.1 * spread(after.clean)


def test_both_encoders_are_seen_in_the_same_plane(with_door, noise, context):
    encoders = {"before": with_door, "after": with_door}
    made = gather("verification", encoders, noise, context=context, verification=verification())
    before, after = made.features
    assert (before.clean, before.triggered) == (after.clean, after.triggered)


def test_features_of_another_length_get_a_plane_of_their_own(with_door, noise, context):
    torch.manual_seed(0)
    other = Encoder(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), image_size=8).eval()
    made = gather("verification", {"before": with_door, "after": other}, noise, context=context)
    assert [found.shared for found in made.features] == [True, False]


def test_neighbours_are_lost_to_a_door_and_to_nothing_else(gathered):
    assert gathered.neighbours.kept["before"] < 0.1
    assert gathered.neighbours.kept["after"] > gathered.neighbours.kept["before"]


def test_the_trigger_that_is_shown_is_the_least_usual_one(gathered):
    assert gathered.shown_trigger == "a patch"
    assert best_doors(scan()).family == "patch"


def test_equal_triggers_are_told_apart_by_their_gain():
    equal = replace(scan(), p_values={"pattern": 0.04, "patch": 0.04})
    assert best_doors(equal).family == "patch"


def test_triggers_keep_the_numbers_of_their_scan(gathered):
    assert [trigger.found["family"] for trigger in gathered.triggers] == ["pattern", "patch"]
    assert gathered.triggers[1].found["cosine_after"] == 0.99


def test_triggers_of_the_new_encoder_are_shown_where_its_scan_has_a_finding(
    gathered, with_door, noise, context
):
    assert gathered.new_triggers == ()
    encoders = {"before": with_door, "after": with_door}
    found = verification("suspicious")
    made = gather("verification", encoders, noise, context=context, verification=found)
    assert len(made.new_triggers) == 2


def test_the_scores_of_the_clean_encoders_that_it_was_compared_with_are_shown(
    with_door, noise, context
):
    known = replace(scan(), clean_scores=(0.5, 1.5, 0.0))
    made = gather("scan", {"before": with_door}, noise, context=context, scan=known)
    assert made.clean_scores == (0.5, 1.5, 0.0)


def test_without_a_scan_there_is_no_trigger(with_door, without_door, noise, context):
    encoders = {"before": with_door, "after": without_door}
    made = gather("purification", encoders, noise, context=context)
    assert made.triggers == ()
    assert made.features[0].triggered == ()
    assert [row.triggered for row in made.neighbours.queries[0].rows] == [False, False]


def test_an_encoder_is_named_by_the_file_it_came_from_or_was_written_to(
    with_door, without_door, noise, context
):
    with_door.origin = Origin(path="in\udcff.pth", sha256="ab")
    context = replace(context, files={"after": ("out.safetensors", "cd")})
    encoders = {"before": with_door, "after": without_door}
    made = gather("purification", encoders, noise, context=context)
    assert [(s.name, s.sha256) for s in made.subjects] == [
        ("in\\udcff.pth", "ab"),
        ("out.safetensors", "cd"),
    ]


def test_the_encoders_are_left_as_they_are(with_door, noise, context):
    before = {name: value.clone() for name, value in with_door.state_dict().items()}
    with_door.train()
    gather("scan", {"before": with_door}, noise, context=context, scan=scan())
    assert with_door.training
    assert all(torch.equal(value, before[name]) for name, value in with_door.state_dict().items())


def test_the_same_seed_gathers_the_same_facts(gathered, with_door, without_door, noise, context):
    encoders = {"before": with_door, "after": without_door}
    again = gather("verification", encoders, noise, context=context, verification=verification())
    assert again == gathered


def test_one_image_is_not_enough_to_show(with_door, noise, context):
    with pytest.raises(InputError, match="2 images or more"):
        gather("scan", {"before": with_door}, noise.subset([0]), context=context, scan=scan())


def test_a_scan_is_written_for_people_programs_and_code_scanning(
    with_door, noise, context, tmp_path
):
    written = write_scan_report(tmp_path, with_door, noise, scan(), context=context)
    assert set(written) == {"report", "facts", "sarif"}
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        "report.json",
        "scan.sarif",
    }
    assert json.loads((tmp_path / "report.json").read_text())["kind"] == "scan"
    assert len(json.loads((tmp_path / "scan.sarif").read_text())["runs"][0]["results"]) == 1


def test_a_verification_is_written_for_people_and_programs(
    with_door, without_door, noise, context, tmp_path
):
    written = write_verification_report(
        tmp_path, with_door, without_door, noise, verification(), context=context
    )
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.json"}
    assert "can take the place" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert set(written) == {"report", "facts"}


@pytest.mark.parametrize("found", [verification(), None])
def test_a_purification_is_written_with_a_model_card(
    with_door, without_door, noise, context, tmp_path, found
):
    epochs = [EPOCH | {"clone": 0.5}]
    written = write_purification_report(
        tmp_path,
        before=with_door,
        images=noise,
        purification=Purification(encoder=without_door, history=History(epochs=epochs)),
        verification=found,
        context=replace(context, files={"after": ("out/encoder.safetensors", "cd")}),
        method="mimic",
        drop_in="suspect.pth",
    )
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts["losses"] == {"clone": [0.5]}
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "`encoder.safetensors`, SHA-256 `cd`" in card
    assert set(written) == {"report", "facts", "card"}


def test_what_the_student_had_to_see_past_is_pictured(with_door, without_door, noise, context):
    torch.manual_seed(0)
    changes = tuple(
        Change(kind=kind, found=found, share=0.2)
        for kind, found in (("patch", random_patches(10)), ("wave", random_waves(3)))
    )
    done = Purification(encoder=without_door, history=History(epochs=[]), changes=changes)
    encoders = {"before": with_door, "after": without_door}
    made = gather("purification", encoders, noise, context=context, purification=done)
    assert made.changed is not None
    assert {kind: len(shown) for kind, shown in made.changed.rows.items()} == {
        "patch": 6,
        "wave": 3,
    }
    assert made.changed.picture not in made.changed.rows["patch"]
    assert gather("purification", encoders, noise, context=context).changed is None
