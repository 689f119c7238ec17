"""`mimic`: finds the command, runs it, and turns whatever happens into one sentence and a code."""

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from types import FrameType
from typing import Annotated, Any, cast

import tyro
from tyro.conf import subcommand

import mimic
from mimic.cli.attack import Attack
from mimic.cli.bench import Bench
from mimic.cli.demo import Demo
from mimic.cli.evaluate import Evaluate
from mimic.cli.images import Images
from mimic.cli.list import List
from mimic.cli.localize import Localize
from mimic.cli.output import Command, Result, publish, say
from mimic.cli.pretrain import Pretrain
from mimic.cli.purify import Purify
from mimic.cli.report import Report
from mimic.cli.scan import Scan
from mimic.cli.verify import Verify
from mimic.cli.zoo import Zoo
from mimic.errors import InterruptedRunError, MimicError

INTERRUPTED = InterruptedRunError.exit_code
BROKEN_PIPE = 141  # as a shell reports a program that nobody listens to any more

COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "pretrain": Pretrain,
    "attack": Attack,
    "scan": Scan,
    "localize": Localize,
    "purify": Purify,
    "verify": Verify,
    "evaluate": Evaluate,
    "images": Images,
    "bench": Bench,
    "report": Report,
    "zoo": Zoo,
    "list": List,
}
_DESCRIPTION = (
    "Purify self-supervised image encoders that may carry a backdoor, without labels and without "
    "the trigger. 'mimic COMMAND --help' documents each command."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Results go to standard output, all else to standard error. MIMIC_DEBUG=1 shows tracebacks.

    Args:
        arguments: without the name of the program; by default those of the process.

    Returns:
        The exit code: 0 done or clean, 1 a finding, 2 wrong use or unreadable input, 3 failed while
        running, 130 interrupted.
    """
    # Threads that spin while they wait make everything ten times slower once another program needs
    # a core. Read when torch is loaded, which no command has done yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with _terminable():
            return _run(list(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as stop:  # tyro: --help, or wrong use that it has explained
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except KeyboardInterrupt as error:
        return _fail(error, "interrupted; nothing more was saved", INTERRUPTED)
    except MimicError as error:
        return _fail(error, str(error), error.exit_code)
    except OSError as error:
        return _fail(error, *_explain(error))
    except Exception as error:
        what = f"unexpected {type(error).__name__}: {str(error)[:300]}".rstrip(": ")
        return _fail(error, f"{what}; run it again with MIMIC_DEBUG=1 to see where", 3)


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["--version"]:
        print(f"mimic {mimic.__version__}", flush=True)
        return 0
    command = _parse(arguments)
    result = _work(command)
    publish(result, as_json=command.json)
    return result.exit_code


def _parse(arguments: list[str]) -> Command:
    """The command with its options; help and wrong use leave by SystemExit."""
    union: Any = None
    for name, kind in COMMANDS.items():
        summary = (kind.__doc__ or "").partition("\n")[0]
        member: Any = Annotated[kind, subcommand(name, description=summary)]
        union = member if union is None else union | member
    try:
        return cast(
            Command,
            tyro.cli(
                union,
                prog="mimic",
                description=_DESCRIPTION,
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            ),
        )
    finally:
        sys.stdout.flush()


def _work(command: Command) -> Result:
    """Run with standard output closed to everybody, and warnings as single lines."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say("warning", str(message))

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(redirect_stdout(sys.stderr))
        warnings.filterwarnings("default", category=UserWarning, module=r"mimic\.")
        warnings.showwarning = show
        return command.run()


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM acts like Ctrl-C for the block; a training turns both into a saved checkpoint."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)


def _fail(error: BaseException, sentence: str, code: int) -> int:
    try:
        if os.environ.get("MIMIC_DEBUG", "0") not in ("", "0"):
            traceback.print_exception(error)
        say("error", sentence)
    except BrokenPipeError:
        _drop_output()
    return code


def _explain(error: OSError) -> tuple[str, int]:
    what = error.strerror or str(error)
    where = "" if error.filename is None else f" '{error.filename}'"
    unreadable = isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError)
    return (f"cannot use{where}: {what}", 2) if unreadable else (f"failed{where}: {what}", 3)


def _drop_output() -> None:
    """Nobody reads any more: let the interpreter flush into nothing when it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nothing, stream.fileno())
        except (OSError, ValueError):  # not a real file, as in a test
            continue
    os.close(nothing)
