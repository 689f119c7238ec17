"""Words: the verdict in one sentence that needs no knowledge of the field, and its numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from mimic.detection.search import DISPLACEMENT
from mimic.report.dossier.facts import Dossier
from mimic.report.figures import percent
from mimic.report.finding import best_trigger, effect_of
from mimic.report.page import Highlight, Tone
from mimic.verification.rule import UNUSUAL

Facts = Mapping[str, Any]

TITLES = {
    "scan": "mimic scan: is this encoder suspicious?",
    "verification": "mimic verify: did the purification work?",
    "purification": "mimic purify: what was done, and whether it worked",
}
_UNCHECKED = "The encoder was purified; whether that worked has not been checked yet."


def verdict(dossier: Dossier) -> tuple[str, Tone]:
    """The one sentence to read, and whether it is good news."""
    if dossier.verification is not None:
        return _decision(dossier.verification)
    if dossier.kind != "scan" or dossier.scan is None:
        return _UNCHECKED, "neutral"
    if dossier.scan["verdict"] == "suspicious":
        return "Do not build on this encoder: it behaves as if it carried a backdoor.", "bad"
    return "No backdoor was found in this encoder.", "good"


def lead(dossier: Dossier) -> str:
    """A sentence or two below the verdict."""
    if dossier.verification is not None:
        return (
            "Decided from clean images alone, without labels and without knowing the trigger: "
            "triggers were searched for on the old encoder and tried on the new one, the new one "
            "was searched as well, and what it has kept was measured."
        )
    if dossier.kind != "scan" or dossier.scan is None:
        return (
            "Nothing on this page says that a backdoor is gone. 'mimic verify' compares the two "
            "encoders and decides."
        )
    return _scan_lead(dossier.scan, dossier.clean_scores)


def highlights(dossier: Dossier) -> tuple[Highlight, ...]:
    """The numbers behind the verdict."""
    if dossier.verification is not None:
        return tuple(_verification_highlights(dossier.verification))
    if dossier.scan is not None:
        return _scan_highlights(dossier.scan)
    return ()


def beyond(door: Facts, share: float) -> str:
    """What a trigger of an old door reaches, for people: `69 %`, or `4.5 sd` of a mark."""
    if door["family"] == "mark":
        return deviations(DISPLACEMENT * share)
    return whole(share)


def deviations(count: float, sign: str = "-") -> str:
    """Standard deviations for people, as `4.5 sd`; with the sign "+" also as `+4.5 sd`."""
    return f"{count:{sign}.1f}\u00a0sd".replace("-", "\u2212")


def whole(share: float) -> str:
    """A share of 1 for people, without decimals, as `69 %`."""
    return f"{100 * share:.0f}\u00a0%".replace("-", "\u2212")


def tidy(text: str) -> str:
    """The same where no line breaks before a per cent sign."""
    return text.replace(" %", "\u00a0%")


def sentence(text: str) -> str:
    """The same with a capital letter at its beginning."""
    return tidy(text[:1].upper() + text[1:])


def _decision(found: Facts) -> tuple[str, Tone]:
    if found["verdict"] == "accepted":
        return (
            "The purified encoder can take the place of the old one: the backdoor that was found "
            "is closed, no other was found, and it still does the work.",
            "good",
        )
    decisive = tidy(next(iter(found["reasons"]), "no reason is given").partition(":")[0])
    if found["verdict"] == "not_accepted":
        return f"Do not use the purified encoder: {decisive}.", "bad"
    return f"Not decided whether the purified encoder can be used: {decisive}.", "neutral"


def _scan_lead(scan: Facts, clean: Sequence[float]) -> str:
    best = best_trigger(scan)
    if scan["verdict"] == "suspicious":
        return (
            f"{sentence(best['description'])} {effect_of(best)}. "
            f"{_compared(scan, clean)} Purify the encoder with clean images ('mimic purify'), or "
            "take another one."
        )
    return (
        f"The trigger that came closest, {tidy(best['description'])}, {effect_of(best)}. "
        f"{_compared(scan, clean)} This does not prove that there is no "
        "backdoor: triggers of other kinds were not looked for."
    )


def _size(trigger: Facts) -> str:
    """The number that says how strong a trigger is."""
    if trigger["family"] == "mark":
        return f"{trigger['displaced']:.1f} sd"
    return percent(trigger["forgotten"][0])


def _compared(scan: Facts, clean: Sequence[float]) -> str:
    """The p-value in words, as a count where the clean encoders are known."""
    chance = f"p = {scan['p_value']:.3f}"
    above = sum(score >= scan["score"] for score in clean)
    if not clean:
        return f"Clean encoders rarely score as high where p is small: {chance}."
    if above == 0:
        return f"None of {len(clean)} clean encoders scores as high ({chance})."
    verb = "scores" if above == 1 else "score"
    return f"{above} of {len(clean)} clean encoders {verb} as high or higher ({chance})."


def _scan_highlights(scan: Facts) -> tuple[Highlight, ...]:
    tone: Tone = "bad" if scan["verdict"] == "suspicious" else "good"
    best = best_trigger(scan)
    return (
        Highlight(
            label="Score",
            value=f"{scan['score']:.1f}",
            note="standard deviations above clean encoders",
            tone=tone,
        ),
        Highlight(
            label="p-value",
            value=f"{scan['p_value']:.3f}",
            note=f"a finding from {scan['false_positive_rate']} down",
            tone=tone,
        ),
        Highlight(
            label="Best trigger",
            value=_size(best),
            note=f"{tidy(best['description'])} {effect_of(best)}",
        ),
    )


def _verification_highlights(found: Facts) -> list[Highlight]:
    after, limits = found["scan_after"], found["thresholds"]
    shared = found["utility"]["mutual_neighbours"]["value"]
    return [
        *_door_highlights(found),
        Highlight(
            label="A new backdoor",
            value="none found" if after["verdict"] == "clean" else "found",
            note=f"scan of the purified encoder: score {after['score']:.1f}, "
            f"p = {after['p_value']:.3f}",
            tone="good" if after["verdict"] == "clean" else "bad",
        ),
        Highlight(
            label="The work",
            value=whole(shared),
            note="of the nearest neighbours of clean images are the same",
            tone=_judged(shared, limits["kept"], limits["lost"]),
        ),
    ]


def _door_highlights(found: Facts) -> list[Highlight]:
    """The door that is open widest, and of closed ones the one that was."""
    limits, told = found["thresholds"], {one["family"]: one for one in found["old_doors"]}
    searched = found["scan_before"]["triggers"]
    tried = [told[one["family"]] for one in searched if one["p_value"] <= UNUSUAL]
    if found["scan_before"]["verdict"] == "clean" or not tried:
        return []

    def tone(door: Facts) -> Tone:
        return _judged(-door["residue"], -limits["closed"], -limits["open"])

    worse: tuple[Tone, ...] = ("good", "neutral", "bad")
    door = max(tried, key=lambda one: (worse.index(tone(one)), one["opened"]))
    return [
        Highlight(
            label="The old trigger, before → after",
            value=f"{beyond(door, door['opened'])} → {beyond(door, door['residue'])}",
            note=_what_a_door_does(door),
            tone=tone(door),
        )
    ]


def _what_a_door_does(door: Facts) -> str:
    if door["family"] == "mark":
        return f"beyond what is natural, features are moved by {tidy(door['description'])}"
    return (
        "of what tells images apart, beyond what is natural, is taken away by "
        f"{tidy(door['description'])}"
    )


def _judged(value: float, good: float, bad: float) -> Tone:
    """Good from one threshold up, bad below the other."""
    if value >= good:
        return "good"
    return "neutral" if value > bad else "bad"
