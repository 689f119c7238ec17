"""Commands from their options back to text: what is typed again gives the same command."""

import shlex

import pytest

from mimic.cli.main import _parse
from mimic.cli.respell import respell

COMMANDS = [
    "mimic scan encoder.pth --images digits",
    "mimic scan encoder.pth --images digits --count 64 --seed 3 --image-size 16",
    "mimic scan 'a folder/<b>.pth' --images \"it's\" --mean 0.5,0.5,0.5 --std=-1,1,1",
    "mimic verify before.pth after.pth --images digits --out found --device cpu",
    "mimic purify in.pth --images digits --out out --set a=1 --set b=2 --resume --epochs 3",
]


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_that_is_typed_again_is_the_same(text):
    command = _parse(shlex.split(text)[1:])
    again = shlex.split(respell(shlex.split(text)[1], command))
    assert again[0] == "mimic"
    assert _parse(again[1:]) == command


def test_options_that_have_their_default_are_left_out():
    command = _parse(["scan", "encoder.pth", "--images", "digits", "--seed", "0"])
    assert respell("scan", command) == "mimic scan encoder.pth --images digits"
