import subprocess
import sys

import pytest

from mimic.attacks import ATTACKS, Attack


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_is_one(name):
    assert issubclass(ATTACKS[name], Attack)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_has_a_line_for_lists(name):
    assert 20 < len(ATTACKS[name].summary) < 80


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_names_its_threat_model(name):
    assert ATTACKS[name].threat_model in {"fine-tuning", "poisoning"}


def test_importing_attacks_stays_light():
    heavy = "{'kornia', 'lightning_fabric', 'sklearn', 'pyarrow', 'matplotlib', 'torchvision'}"
    code = f"import sys, mimic.attacks; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
