"""Stronger settings: what to try where a purification is not accepted.

For the default method each further attempt trains twice as long as the first one, shows the student
more views under searched patches, and starts from another seed:

    attempt   epochs         searched_share                seed
    1         as asked       as asked                      as asked
    2         twice as many  0.1 more                      1 more
    3         twice as many  0.2 more                      2 more
    ...       twice as many  up to 0.5, or what was asked  ...

Other methods have no setting that only makes them stronger: they get another seed, nothing else.
"""

from dataclasses import asdict, replace

from mimic.defenses import Defense, Mimic

_MORE = 0.1
_MOST = 0.5


def stronger(defense: Defense, attempt: int) -> Defense:
    """The defence with the settings of an attempt.

    Args:
        defense: as it was asked for.
        attempt: counted from 1, which changes nothing.
    """
    if attempt == 1:
        return defense
    again = replace(defense, seed=defense.seed + attempt - 1)
    if not isinstance(again, Mimic):
        return again
    free = 1 - sum(again.shares.values()) + again.searched_share
    share = min(again.searched_share + _MORE * (attempt - 1), _MOST, free)
    return replace(
        again,
        epochs=2 * again.epochs,
        searched_share=max(again.searched_share, round(share, 6)),
    )


def changes(defense: Defense, other: Defense) -> str:
    """How the settings of `other` differ, for a message: "epochs 200, seed 1"."""
    before = asdict(defense)
    return ", ".join(
        f"{name} {value}" for name, value in asdict(other).items() if value != before[name]
    )
