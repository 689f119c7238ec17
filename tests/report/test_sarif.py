"""scan.sarif: what SARIF 2.1.0 requires, one result for a finding, none for a clean encoder."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mimic.report.sarif import RULE, location_of, scan_sarif

from .dossier_support import scanned

LEVELS = {"none", "note", "warning", "error"}
ROLES = {"analysisTarget", "resultFile", "attachment"}
PARTS = {
    "log": {"$schema", "version", "runs"},
    "run": {"tool", "invocations", "artifacts", "results"},
    "driver": {"name", "version", "rules"},
    "rule": {
        *("id", "name", "shortDescription", "fullDescription", "help"),
        *("defaultConfiguration", "properties"),
    },
    "result": {
        *("ruleId", "ruleIndex", "level", "message", "locations", "properties"),
        "partialFingerprints",
    },
    "artifact": {"location", "roles", "hashes"},
    "invocation": {"executionSuccessful", "exitCode"},
}
"""What our parts may hold; the schema allows no property that it does not name."""
URI = re.compile(r"[\w\-.~!$&'()*+,;=:@%/]+")


def log(verdict: str = "suspicious", **changes: Any) -> dict[str, Any]:
    settings = {"encoder": "zoo/it.safetensors", "sha256": "ab" * 32, "tool_version": "0.1.0"}
    return scan_sarif(scanned(verdict), **(settings | changes))


def check(sarif: dict[str, Any]) -> None:
    """The structure that the schema of SARIF 2.1.0 asks of the parts that we write."""
    assert sarif["version"] == "2.1.0"
    assert set(sarif) <= PARTS["log"]
    (run,) = sarif["runs"]
    assert set(run) <= PARTS["run"]
    assert set(run["tool"]) == {"driver"}
    driver = run["tool"]["driver"]
    assert set(driver) <= PARTS["driver"]
    assert isinstance(driver["name"], str)
    for rule in driver["rules"]:
        assert set(rule) <= PARTS["rule"]
        assert all(rule[part]["text"] for part in ("shortDescription", "fullDescription", "help"))
        assert rule["defaultConfiguration"]["level"] in LEVELS
    for invocation in run["invocations"]:
        assert set(invocation) <= PARTS["invocation"]
        assert isinstance(invocation["executionSuccessful"], bool)
    for artifact in run["artifacts"]:
        assert set(artifact) <= PARTS["artifact"]
        assert set(artifact["roles"]) <= ROLES
    for result in run["results"]:
        check_result(result, run)


def check_result(result: dict[str, Any], run: dict[str, Any]) -> None:
    assert set(result) <= PARTS["result"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert result["level"] in LEVELS
    assert result["message"]["text"]
    for location in result["locations"]:
        place = location["physicalLocation"]
        at = place["artifactLocation"]
        assert run["artifacts"][at["index"]]["location"]["uri"] == at["uri"]
        assert URI.fullmatch(at["uri"])
        assert place["region"]["startLine"] >= 1


@pytest.mark.parametrize("verdict", ["clean", "suspicious"])
@pytest.mark.parametrize("sha256", ["ab" * 32, None])
def test_the_log_has_the_structure_of_sarif(verdict, sha256):
    check(log(verdict, sha256=sha256))


def test_a_clean_encoder_has_no_results():
    assert log("clean")["runs"][0]["results"] == []


def test_a_finding_is_one_error_with_score_and_p_value():
    (result,) = log()["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == (RULE, "error")
    assert result["properties"]["score"] == 31.7
    assert result["properties"]["pValue"] == 0.04
    assert "a patch over 7 % of the image" in result["message"]["text"]


def test_the_encoder_is_named_by_its_file_and_its_hash():
    (artifact,) = log()["runs"][0]["artifacts"]
    assert artifact["location"]["uri"] == "zoo/it.safetensors"
    assert artifact["hashes"] == {"sha-256": "ab" * 32}


def test_the_same_encoder_has_the_same_fingerprint_wherever_it_lies():
    first, second = (log(encoder=name)["runs"][0]["results"][0] for name in ("a", "b"))
    assert first["partialFingerprints"] == second["partialFingerprints"]


def test_the_exit_code_is_that_of_the_command():
    codes = [log(v)["runs"][0]["invocations"][0]["exitCode"] for v in ("clean", "suspicious")]
    assert codes == [0, 1]


def test_a_file_below_the_current_folder_has_a_relative_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a folder").mkdir()
    Path("a folder/50%.pth").touch()
    assert location_of("a folder/50%.pth") == "a%20folder/50%25.pth"
    assert location_of(str(tmp_path / "a folder" / "50%.pth")) == "a%20folder/50%25.pth"


def test_a_file_elsewhere_has_an_absolute_address(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "it.pth").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert location_of("../it.pth") == (tmp_path / "it.pth").resolve().as_uri()


@pytest.mark.parametrize("name", ["timm:resnet18", "<script>", "a\nb", "ü"])
def test_any_name_becomes_an_address(name):
    assert URI.fullmatch(location_of(name))


def test_the_log_is_json():
    assert json.loads(json.dumps(log(), allow_nan=False)) == log()


def test_the_module_can_be_the_first_that_is_imported():
    command = [sys.executable, "-c", "import mimic.report.sarif"]
    assert subprocess.run(command, check=False).returncode == 0
