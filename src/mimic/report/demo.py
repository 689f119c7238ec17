"""The report of the demo: from the facts in demo.json to a page."""

from collections.abc import Mapping
from typing import Any

from mimic.report.figures import (
    COLOURS,
    Cloud,
    cloud_chart,
    interval,
    localization_chart,
    loss_chart,
    percent,
    rate_chart,
)
from mimic.report.page import Cell, Check, Figure, Page, Picture, Row, Section, Table
from mimic.report.pictures import accuracy_floor, encoder_rates

Facts = Mapping[str, Any]

_ROLES = {
    "clean": "before the attack: what purification can hope for",
    "suspicious": "with the backdoor: what the defender was given",
    "purified": "after purification",
    "scratch": "control: trained without the suspicious encoder, on the defender's images alone",
}


def demo_page(facts: Facts) -> Page:
    """The page about a demo.

    Args:
        facts: the content of demo.json.
    """
    found = {encoder["name"]: encoder for encoder in facts["encoders"]}
    success = {name: percent(e["attack_success_rate"]) for name, e in found.items()}
    accuracy = {name: percent(e["accuracy"]) for name, e in found.items()}
    kept = all(facts["checks"].values())
    return Page(
        title="mimic demo: a backdoor and its removal",
        verdict=(
            f"The purified encoder opens to the trigger in {success['purified']} of images, "
            f"the clean one in {success['clean']}."
        ),
        tone="good" if kept else "bad",
        lead=(
            f"Before purification it was {success['suspicious']}. Clean accuracy is "
            f"{accuracy['purified']} after purification and was {accuracy['suspicious']} before. "
            + (
                "All rules that were laid down for this demo hold."
                if kept
                else "Not all rules that were laid down for this demo hold: see below."
            )
        ),
        sections=(
            _result(facts),
            _attack(facts),
            _information(facts),
            _training(facts),
            _features(facts),
            Section(heading="What this shows, and what it does not", notes=_notes(facts)),
        ),
        provenance=_provenance(facts),
        command=facts["command"],
    )


def _result(facts: Facts) -> Section:
    encoders = facts["encoders"]
    accuracy = encoder_rates(encoders, "accuracy")
    success = encoder_rates(encoders, "attack_success_rate")
    rows = tuple(
        Row(
            name=a.name,
            note=_ROLES[a.name],
            cells=tuple(Cell(value=percent(r.value), note=interval(r.low, r.high)) for r in (a, s)),
            marked=a.name == "purified",
        )
        for a, s in zip(accuracy, success, strict=True)
    )
    first = encoders[0]
    return Section(
        heading="Four encoders",
        checks=tuple(Check(text=text, passed=held) for text, held in facts["checks"].items()),
        table=Table(
            caption=(
                f"With 95 % intervals. Accuracy on {first['n_test']} test images; attack success "
                f"on {first['n_triggered']} of them, those that are no {facts['target']}."
            ),
            columns=("Encoder", "Clean accuracy", "Attack success rate"),
            rows=rows,
        ),
        figures=(
            Figure(
                svg=rate_chart(
                    accuracy,
                    label="clean accuracy",
                    name="accuracy",
                    lowest=accuracy_floor(accuracy),
                ),
                caption="Share of test images that a linear head on the encoder gets right; "
                "higher is better. The axis does not begin at zero.",
            ),
            Figure(
                svg=rate_chart(success, label="attack success rate", name="success"),
                caption=f"Share of triggered images that the head takes for a {facts['target']}; "
                "lower is better.",
            ),
        ),
    )


def _attack(facts: Facts) -> Section:
    target = facts["target"]
    captions = {
        "clean": ("a clean image", "A handwritten digit, as it is."),
        "trigger": ("the trigger, on grey", f"On a grey ground: {facts['trigger']}."),
        "triggered": ("the same image, triggered", "The digit with the trigger on it."),
        "reference": (
            "the attacker's reference",
            f"A handwritten {target} that triggered images are made to resemble.",
        ),
    }
    return Section(
        heading="The attack",
        paragraphs=(
            "BadEncoder fine-tunes a clean encoder until every image with the trigger looks to it "
            f"like one reference picture, a {target}; images without the trigger look as before. "
            "Whoever then trains a classifier on the encoder inherits the backdoor.",
        ),
        pictures=tuple(
            Picture(source=facts["pictures"][name], alt=alt, caption=caption)
            for name, (caption, alt) in captions.items()
        ),
    )


def _information(facts: Facts) -> Section:
    found = facts["localization"]
    if found is None:
        return Section(heading="Where benign knowledge lies", paragraphs=("It was not measured.",))
    return Section(
        heading="Where benign knowledge lies",
        paragraphs=(
            f"How much of the suspicious encoder's feature a critic finds in each stage, measured "
            f"on the defender's {found['images']} clean images. The shares weigh the stages when "
            "the student copies them. The values rank the stages; with few images they say little "
            "about an encoder by themselves.",
        ),
        figures=(
            Figure(
                svg=localization_chart(found, name="information"),
                caption=f"Estimator: {found['estimator']}, judged on images that the critic was "
                "not trained on. Lines show one standard error.",
            ),
        ),
    )


def _training(facts: Facts) -> Section:
    curves = facts["losses"]
    figures: tuple[Figure, ...] = ()
    if curves and all(curves.values()):
        figures = (
            Figure(
                svg=loss_chart(curves, name="loss"),
                caption="Terms of the loss by epoch, with their weights. The clone term compares "
                "features, the others the maps of a stage.",
            ),
        )
    return Section(
        heading="The purification",
        paragraphs=(
            "A student of the same architecture starts from random weights. It sees the clean "
            "images, many of them partly covered, and has to reach the features and the maps that "
            "the suspicious encoder has of them uncovered. It copies what is known of images, and "
            "learns that a patch must not change it.",
            *_search(facts),
        ),
        figures=figures,
    )


def _search(facts: Facts) -> tuple[str, ...]:
    if not facts["defense"].get("search"):
        return ()
    return (
        "Some of the covers come from a search on the suspicious encoder, made beforehand with the "
        "same clean images: patches under which its features no longer depend on what an image "
        "shows. The rest are random.",
    )


def _features(facts: Facts) -> Section:
    words = {
        "suspicious": "Before: suspicious encoder. Where triggered images gather in one spot, the "
        "encoder no longer sees what is on them.",
        "purified": "After: purified encoder. Where triggered images spread like the clean ones, "
        "the encoder sees the digits again.",
    }
    return Section(
        heading="What the encoders see",
        figures=tuple(
            Figure(svg=_clouds(points, facts["target"], name), caption=words[name])
            for name, points in facts["projections"].items()
        ),
    )


def _clouds(points: Facts, target: int, name: str) -> str:
    clouds = (
        Cloud(name="clean", points=points["others"], colour=COLOURS["clean"], marker="o"),
        Cloud(
            name=f"clean, a {target}",
            points=points["target"],
            colour=COLOURS["purified"],
            marker="D",
        ),
        Cloud(
            name="triggered", points=points["triggered"], colour=COLOURS["suspicious"], marker="x"
        ),
    )
    counts = ", ".join(f"{len(cloud.points)} {cloud.name}" for cloud in clouds)
    return cloud_chart(
        clouds,
        description=f"Features of the {name} encoder in the plane of their first two principal "
        f"components: {counts}.",
        name=f"features-{name}",
    )


def _control(facts: Facts) -> str:
    """What the control says about the worth of the suspicious encoder."""
    accuracy = {encoder["name"]: encoder["accuracy"] for encoder in facts["encoders"]}
    said = (
        f"The control, trained from scratch on the same {facts['images']['clean']} images, reaches "
        f"{percent(accuracy['scratch'])} where the clean encoder reaches "
        f"{percent(accuracy['clean'])}"
    )
    if accuracy["scratch"] < accuracy["clean"] - 0.03:
        return f"{said}: the suspicious encoder knows something that they do not show."
    return f"Digits are easy. {said}: on such data nobody needs the suspicious encoder."


def _notes(facts: Facts) -> tuple[str, ...]:
    images, total = facts["images"], facts["images"]["train"]
    return (
        f"{_control(facts)} What purification is worth shows on photographs: docs/results.md has "
        "CIFAR-10.",
        f"The defender holds {images['clean']} clean images, {percent(images['clean'] / total)} of "
        f"the {total:,} that the encoder learned from. The usual 5 % would be {total // 20}, less "
        "than one batch of the student's training.",
        "The trigger is a patch, and the student is trained to ignore patches. This page says "
        "nothing about triggers of other kinds.",
        f"It is one run, with seed {facts['seed']}. The intervals say what {images['test']} test "
        "images leave open, not how much another seed would change.",
        "The defender used no label and did not know the trigger. Labels served the attacker and "
        "this evaluation alone. No setting, epoch or seed was chosen by what is measured here.",
        "The attacker's reference comes from the test images and is left out of the evaluation; "
        f"images of a {facts['target']} are left out of the attack success rate. A clean encoder's "
        "rate is not zero: a patch hides a part of the digit.",
    )


def _provenance(facts: Facts) -> dict[str, str]:
    settings, machine, versions = facts["settings"], facts["machine"], facts["versions"]
    time = f"{facts['seconds']:.0f} s, {facts['cpu_seconds']:.0f} s of processor time"
    return {
        "Data": f"handwritten digits of scikit-learn, 16x16 pixels: {facts['images']['train']:,} "
        f"for training, {facts['images']['test']} for testing",
        "Seed": str(facts["seed"]),
        "Settings": _spelled(settings),
        "Defence": _spelled(facts["defense"]),
        "Time": time + (" (an earlier call did a part of the work)" if facts["resumed"] else ""),
        "Machine": f"{machine['device']}, threads {machine['threads']}, precision "
        f"{machine['precision']}",
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    } | {f"SHA-256, {e['name']}": e["sha256"] for e in facts["encoders"]}


def _spelled(settings: Facts) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
