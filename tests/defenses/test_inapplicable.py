import re

import pytest

from mimic.defenses import DEFENSES
from mimic.defenses.inapplicable import INAPPLICABLE
from mimic.errors import InputError
from mimic.purification import find_defense


def test_what_is_offered_is_not_called_inapplicable():
    assert DEFENSES.keys().isdisjoint(INAPPLICABLE)


@pytest.mark.parametrize("name", INAPPLICABLE)
def test_what_is_advised_instead_is_offered(name):
    (advised,) = re.findall(r"; use (\S+) or (\S+) instead$", INAPPLICABLE[name])
    assert set(advised) <= DEFENSES.keys()


@pytest.mark.parametrize("name", INAPPLICABLE)
def test_asking_for_the_method_says_why_not(name):
    with pytest.raises(InputError, match=re.escape(INAPPLICABLE[name])):
        find_defense(name)
