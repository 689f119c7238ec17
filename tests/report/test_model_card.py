"""The model card: metadata that the Hub reads, and text that stays text."""

import ast
from typing import Any

import pytest

from mimic.report.model_card import CardFacts, base_model, code, escaped, model_card, yaml_string

from .dossier_support import verified

EVIL = 'x"\n---\ntags: [evil]\n`<script>`|[a](javascript:b)\u2028\U0001f600'


def card(**changes: Any) -> str:
    settings: dict[str, Any] = {
        "encoder": "encoder.safetensors",
        "sha256": "ab" * 32,
        "others": (),
        "drop_in": "suspect.pth",
        "original": "/home/somebody/suspect.pth",
        "original_sha256": "cd" * 32,
        "architecture": "resnet18",
        "image_size": 32,
        "dimension": 512,
        "method": "mimic",
        "images": 2000,
        "verification": verified(),
        "version": "0.1.0",
    }
    return model_card(CardFacts(**(settings | changes)))


def front_matter(text: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="reads the metadata: pip install pyyaml")
    _, metadata, _ = text.split("---\n", 2)
    return yaml.safe_load(metadata)


def test_an_encoder_that_stayed_as_it_came_in_is_told():
    assert "not purified" not in card()
    assert "is not purified**: `ema: (no prefix)`" in card(others=("ema: (no prefix)",))


def test_the_metadata_names_library_task_and_tags():
    found = front_matter(card())
    assert found["library_name"] == "mimic"
    assert found["pipeline_tag"] == "image-feature-extraction"
    assert "backdoor-removal" in found["tags"]
    assert "base_model" not in found


@pytest.mark.parametrize(
    ("architecture", "library"),
    [("timm:resnet18", "timm"), ("hf:{}", "transformers"), (None, "mimic")],
)
def test_a_file_that_a_library_reads_is_listed_under_it(architecture, library):
    assert front_matter(card(architecture=architecture))["library_name"] == library


@pytest.mark.parametrize(
    ("original", "repository"),
    [
        ("hf:facebook/dino-vits16", "facebook/dino-vits16"),
        ("hf:facebook/dino-vits16:pooling=mean", "facebook/dino-vits16"),
        ("timm:resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("timm:resnet18@file.pth", None),
        ("torchvision:resnet18", None),
        ("hf:../../etc/passwd", None),
        ("suspect.pth", None),
    ],
)
def test_the_base_model_is_told_where_it_is_known(original, repository):
    assert base_model(original) == repository
    assert front_matter(card(original=original)).get("base_model") == repository


def test_it_says_what_it_was_purified_from_and_how_it_was_verified():
    text = card()
    assert "cd" * 32 in text
    assert "**accepted**" in text
    assert "- the first reason: with 7 % of numbers" in text
    assert "| before | suspicious | 31.7 | 0.040 |" in text


def test_what_was_not_verified_is_said_not_to_be():
    assert "It was not." in card(verification=None)


def test_no_folder_of_the_user_is_published():
    assert "somebody" not in card()


def test_the_snippet_loads_the_file():
    assert "mimic.load_encoder('encoder.safetensors')" in card()
    assert "factory=" in card(architecture=None)


@pytest.mark.parametrize("field", ["drop_in", "original", "method"])
def test_strings_from_files_stay_text(field):
    text = card(**{field: EVIL})
    assert front_matter(text) == front_matter(card())
    outside = "".join(part for n, part in enumerate(text.split("`")) if n % 2 == 0)
    assert "<script>" not in outside
    assert "\ntags: [evil]" not in text.split("---\n", 2)[2]


def test_the_snippet_is_python_whatever_the_file_is_called():
    snippet = card(encoder=EVIL + "\n```").partition("```python\n")[2].partition("\n```")[0]
    names = {node.value for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Constant)}
    assert EVIL + "\n```" in names


def test_markup_is_escaped_and_ordinary_text_is_not():
    assert escaped("a *b* [c](d) <e> #1") == r"a \*b\* \[c\](d) \<e\> \#1"
    assert escaped("score 0.2, p = 0.76 (7 %), -6 %") == "score 0.2, p = 0.76 (7 %), -6 %"


@pytest.mark.parametrize(
    ("text", "safe"),
    [("- a", r"\- a"), ("1. a", r"1\. a"), ("+ a", r"\+ a"), ("a\n# b", r"a \# b")],
)
def test_text_begins_neither_a_list_nor_a_heading(text, safe):
    assert escaped(text) == safe


@pytest.mark.parametrize(
    ("text", "span"), [("a", "`a`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("a\nb", "`a b`")]
)
def test_a_code_span_is_longer_than_any_run_of_back_ticks_in_it(text, span):
    assert code(text) == span


@pytest.mark.parametrize("text", ['"', "\\", "\n---\n", "ü\x7f\u2028", "\U0001f600", "a: [b]", ""])
def test_any_text_survives_yaml(text):
    yaml = pytest.importorskip("yaml", reason="reads the metadata: pip install pyyaml")
    assert yaml.safe_load(yaml_string(text)) == text
