import pytest

from mimic.errors import (
    InputError,
    InterruptedRunError,
    MimicError,
    NonFiniteLossError,
    RunError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MimicError, 3),
        (InputError, 2),
        (RunError, 3),
        (NonFiniteLossError, 3),
        (InterruptedRunError, 130),
    ],
)
def test_each_error_has_the_exit_code_of_the_command_line(error, code):
    assert error.exit_code == code


@pytest.mark.parametrize("error", [InputError, RunError, NonFiniteLossError, InterruptedRunError])
def test_each_error_can_be_caught_as_one_of_mimic(error):
    assert issubclass(error, MimicError)


def test_a_wrong_input_is_a_value_error():
    assert issubclass(InputError, ValueError)


def test_a_failed_run_is_a_runtime_error_and_no_value_error():
    assert issubclass(RunError, RuntimeError)
    assert not issubclass(RunError, ValueError)


def test_the_message_is_what_was_given():
    assert str(InputError("the ratio is 2")) == "the ratio is 2"
