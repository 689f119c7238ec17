"""What can go wrong, sorted by who has to act; each error knows the command line's exit code."""


class MimicError(Exception):
    """Base of every error that mimic raises on purpose; its message is one clear sentence."""

    exit_code = 3


class InputError(MimicError, ValueError):
    """What the user handed in is wrong or unreadable: the message names it and says what to do."""

    exit_code = 2


class RunError(MimicError, RuntimeError):
    """The work itself failed while running (a full disk, a loss that is not finite)."""

    exit_code = 3


class NonFiniteLossError(RunError):
    """A loss term became NaN or infinite; the last good checkpoint is kept."""


class InterruptedRunError(MimicError):
    """SIGINT or SIGTERM arrived; the state was saved and the same call with resume continues."""

    exit_code = 130
