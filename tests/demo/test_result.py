import pytest

from mimic.demo.result import check_rules
from mimic.evaluation.judging import Evaluation, HeadRates


def _evaluation(accuracy: float, success: float) -> Evaluation:
    return Evaluation(
        accuracy=accuracy,
        accuracy_ci95=(accuracy, accuracy),
        attack_success_rate=success,
        attack_success_rate_ci95=(success, success),
        attack_success_rate_all=success,
        n_train=1,
        n_test=1,
        n_triggered=1,
        probe="linear",
        seed=0,
        seconds=0.0,
        heads=(HeadRates(seed=0, accuracy=accuracy, attack_success_rate=success),),
    )


def _held(*, clean=(0.97, 0.03), suspicious=(0.97, 1.0), purified=(0.97, 0.04)) -> list[bool]:
    found = {"clean": clean, "suspicious": suspicious, "purified": purified}
    return list(check_rules({k: _evaluation(*v) for k, v in found.items()}).values())


def test_a_demo_that_succeeds_keeps_all_rules():
    assert _held() == [True, True, True]


@pytest.mark.parametrize(
    ("broken", "changes"),
    [
        (0, {"suspicious": (0.97, 0.89)}),
        (1, {"purified": (0.97, 0.09)}),
        (2, {"purified": (0.93, 0.04)}),
    ],
)
def test_each_rule_can_be_broken_alone(broken, changes):
    assert _held(**changes) == [index != broken for index in range(3)]
