"""Whether a backdoor is in: mean cosines that `mimic attack` shows, without any labelled task."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from mimic.attacks import Attack, Attacked
    from mimic.encoders.encoder import Encoder
    from mimic.images.imageset import ImageSet
    from mimic.training import Trainer

TITLES = {
    "triggered_to_reference": "triggered images and references",
    "untriggered_to_reference": "the same images without trigger and references",
    "clean_to_before": "images, attacked and clean encoder",
}
_MOST_IMAGES = 2000
_MOST_REFERENCES = 64


def sanity_of(
    clean: "Encoder | None",
    result: "Attacked",
    attack: "Attack",
    images: "ImageSet",
    trainer: "Trainer",
) -> dict[str, float]:
    """Mean cosines by name; those that end in `_before` are of the clean encoder.

    Args:
        clean: the encoder before the attack; None where there was none.
        result: what the attack gave back; of its triggers the first one is looked at.
        attack: its references, or else images of its target class, are what triggered images
            should look like. Without either, only `clean_to_before` is measured.
        images: what the attacker held; at most 2,000 of them are taken.
        trainer: where features are computed.
    """
    from mimic.evaluation.features import extract_features
    from mimic.evaluation.similarity import crossed_cosine, paired_cosine
    from mimic.images.imageset import ImageSet

    trigger = result.triggers[0]
    pictures = _references(attack, images)
    some = images.sample(count=min(_MOST_IMAGES, len(images)), seed=0)

    def cosines(encoder: "Encoder") -> dict[str, float]:
        if pictures is None:
            return {}
        wanted = extract_features(encoder, ImageSet.from_tensor(pictures), trainer=trainer)
        stamped = extract_features(encoder, some, trigger=trigger, trainer=trainer)
        plain = extract_features(encoder, some, trainer=trainer)
        return {
            "triggered_to_reference": crossed_cosine(stamped, wanted),
            "untriggered_to_reference": crossed_cosine(plain, wanted),
        }

    found = cosines(result.encoder)
    if clean is not None:
        found |= {f"{name}_before": value for name, value in cosines(clean).items()}
        found["clean_to_before"] = paired_cosine(
            extract_features(result.encoder, some, trainer=trainer),
            extract_features(clean, some, trainer=trainer),
        )
    return found


def _references(attack: "Attack", images: "ImageSet") -> "Tensor | None":
    from mimic.attacks.poisoning import target_positions

    for name in ("references", "objects"):
        pictures = getattr(attack, name, None)
        if pictures is not None and tuple(pictures.shape[2:]) == images.size:
            # of several targets only the first one belongs to the first trigger
            several = isinstance(getattr(attack, "trigger", None), tuple)
            return pictures[:1] if several else pictures
    target = getattr(attack, "target", None)
    if target is None or images.labels is None:
        return None
    positions = target_positions(images, target)
    return images.batch(positions[:_MOST_REFERENCES])
