"""Seeds for parties that must not share random numbers although they were given the same seed.

Everybody likes the seed 0. Whoever trained an encoder with it began with the weights that it draws,
and an attacker took the first images of the permutation that it draws. A student that began with
the same weights, or a defender with the same images, would not be independent of them.
"""

from typing import Literal

from mimic.training.plan import mix_seed

Party = Literal["student", "defender", "judge"]
_INDEX: dict[Party, int] = {"student": -(1 << 32), "defender": -(1 << 33), "judge": -(1 << 34)}


def seed_of(party: Party, seed: int) -> int:
    """What a party makes of the seed that it was given.

    Args:
        party: the random student of a purification, who chooses clean images for one, or who
            chooses images to verify one.
        seed: that was given.
    """
    return mix_seed(seed, _INDEX[party])
