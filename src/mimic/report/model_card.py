"""Model card: a README.md beside a purified encoder, as the Hugging Face Hub shows it.

The metadata of the Hub stands in front as YAML: https://huggingface.co/docs/hub/model-cards.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LIBRARIES = {"timm": "timm", "hf": "transformers", "open_clip": "open_clip"}
_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#!|~&$])")
_LIST = re.compile(r"^(\d+(?=[.)])|(?=[-+=]))")
_TAGS = ("mimic", "backdoor-removal", "self-supervised-learning", "image-encoder")
"""What the page of the Hub can be filtered by."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a model card says; all strings may come from files.

    Attributes:
        encoder: name of the file that knows itself.
        sha256: of that file.
        drop_in: name of the file that replaces the one that came in, or None.
        others: places in that file where the encoder sits a second time, as it came in.
        original: what came in, as the user named it.
        original_sha256: of it, or None.
        architecture: a spelling of mimic, or None for a network of the user's own.
        image_size: height and width in pixels, or None where any will do.
        dimension: length of the features.
        method: of purification.
        images: how many clean images it used.
        verification: as `Verification.as_dict` tells it, or None.
        version: of mimic.
    """

    encoder: str
    sha256: str | None
    drop_in: str | None
    others: Sequence[str]
    original: str
    original_sha256: str | None
    architecture: str | None
    image_size: int | None
    dimension: int
    method: str
    images: int
    verification: Mapping[str, Any] | None
    version: str


def model_card(facts: CardFacts) -> str:
    """The card as Markdown with YAML in front."""
    lines = [
        *_front_matter(facts),
        "# Purified image encoder",
        "",
        "An encoder that puts out one feature vector per image. It was made from another one, "
        "which may carry a backdoor, with clean images alone, by "
        f"mimic {facts.version}, method {escaped(facts.method)}.",
        "",
        *_files(facts),
        *_loading(facts),
        *_verification(facts.verification),
        "## Limits",
        "",
        "- It can be no better than the encoder that it comes from, and knows a little less.",
        "- A verification tries triggers of the kinds that it knows. A backdoor that answers to "
        "another kind may be left.",
        "- The license of the original weights holds for these as well; mimic does not know it.",
        "",
    ]
    return "\n".join(lines)


def base_model(original: str) -> str | None:
    """The repository on the Hub that an encoder comes from; None where that is not known.

    Args:
        original: as the user named it, such as `hf:OWNER/NAME` or `timm:NAME`.
    """
    library, _, name = original.partition(":")
    repo = name.partition(":")[0] if library == "hf" else f"timm/{name}"
    if library not in ("hf", "timm") or not _REPO.fullmatch(repo) or Path(name).exists():
        return None
    return repo


def _front_matter(facts: CardFacts) -> list[str]:
    library = (facts.architecture or "").partition(":")[0]
    known = {
        "library_name": _LIBRARIES.get(library, "mimic"),
        "pipeline_tag": "image-feature-extraction",
        "base_model": base_model(facts.original),
    }
    fields = [f"{name}: {yaml_string(value)}" for name, value in known.items() if value is not None]
    return ["---", *fields, "tags:", *(f"- {tag}" for tag in _TAGS), "---", ""]


def _files(facts: CardFacts) -> list[str]:
    rows = [
        f"- Purified from {code(_public(facts.original))}, SHA-256 {_hash(facts.original_sha256)}."
    ]
    rows.append(f"- {code(facts.encoder)}, SHA-256 {_hash(facts.sha256)}.")
    if facts.drop_in is not None and facts.drop_in != facts.encoder:
        rows.append(f"- {code(facts.drop_in)}: the same weights in the format that came in.")
    if facts.others:
        named = ", ".join(map(code, facts.others))
        rows.append(
            "- **That file holds the encoder that came in as well, which is not purified**: "
            f"{named}. Make sure that nothing loads it from there."
        )
    size = "any size" if facts.image_size is None else f"{facts.image_size}x{facts.image_size}"
    rows += [
        f"- Input: RGB images of {size} in [0, 1]; the normalisation is inside. Output: "
        f"{facts.dimension} numbers.",
        f"- Clean images that were used: {facts.images:,}.",
        "- `manifest.json` has every setting, `report.html` what was found.",
    ]
    return ["## What it is", "", *rows, ""]


def _public(original: str) -> str:
    """A card is for everybody: of a file it names no folder of the user's."""
    return original if base_model(original) else Path(original).name


def _hash(digest: str | None) -> str:
    return "unknown" if digest is None else code(digest)


def _loading(facts: CardFacts) -> list[str]:
    own = ', factory="module:function"' if facts.architecture is None else ""
    words = [
        "## How to load it",
        "",
        "```python",
        "import mimic",
        "",
        f"encoder = mimic.load_encoder({facts.encoder!r}{own})",
        "features = encoder(images)  # uint8, or floats in [0, 1], (batch, 3, height, width)",
        "```",
        "",
    ]
    if own:
        words += ["The network is the user's own: name the function that builds it.", ""]
    if facts.drop_in is not None:
        words += [f"Or load {code(facts.drop_in)} with the code that loaded the original.", ""]
    return words


def _verification(found: Mapping[str, Any] | None) -> list[str]:
    words = ["## How it was verified", ""]
    if found is None:
        return [*words, "It was not. `mimic verify BEFORE AFTER --images SRC` does it.", ""]
    verdict = str(found["verdict"]).replace("_", " ")
    before, after = found["scan_before"], found["scan_after"]
    return [
        *words,
        f"Verdict of `mimic verify`: **{escaped(verdict)}**. Without labels and without the "
        "trigger:",
        "",
        *(f"- {escaped(reason)}" for reason in found["reasons"]),
        "",
        "| scan | verdict | score | p-value |",
        "|---|---|---|---|",
        *(
            f"| {name} | {escaped(scan['verdict'])} | {scan['score']:.1f} | {scan['p_value']:.3f} |"
            for name, scan in (("before", before), ("after", after))
        ),
        "",
    ]


def escaped(text: str) -> str:
    """Text from elsewhere as Markdown that shows it and does nothing: one line, no markup."""
    return _LIST.sub(r"\1\\", _MARKUP.sub(r"\\\1", " ".join(text.split())))


def code(text: str) -> str:
    """Text from elsewhere as a code span, whatever back-ticks it holds."""
    line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def yaml_string(text: str) -> str:
    """A double-quoted YAML scalar of any text; what is not plain ASCII is spelled out."""
    return '"' + "".join(map(_yaml_character, text)) + '"'


def _yaml_character(character: str) -> str:
    number = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if 0x20 <= number < 0x7F:
        return character
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
