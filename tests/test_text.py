"""Text out of files: nothing in it steers a terminal."""

import pytest

from mimic.text import printable


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("猫 ä.png", "猫 ä.png"),
        ("a\x1b[2J\n.png", r"a\x1b[2J\n.png"),
        ("\udcff.png", r"\udcff.png"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
    ],
)
def test_letters_that_steer_a_terminal_are_spelled_out(title, shown):
    assert printable(title) == shown


def test_what_was_spelled_out_stays_so():
    assert printable(printable("a\x1b[2J")) == printable("a\x1b[2J")
