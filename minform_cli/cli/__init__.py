"""The command line: thin commands over the Python API, and the one place where errors become messages.

Nothing here imports torch until a command body needs it, so help and refused input do not wait for it.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

import typer

from minform_cli import __version__
from minform_cli.cli import (
    compare,
    count,
    doctor,
    evaluate,
    export,
    importing,
    lists,
    power,
    reduce,
    runs,
    schema,
    search,
    train,
)
from minform_cli.cli.console import one_line
from minform_cli.cli.usage import Commands, usage_error
from minform_cli.errors import Interrupted, MinformError

_SIGINT = 130

app = typer.Typer(
    name="minform",
    cls=Commands,
    help="How many parameters can this Transformer do without, and what does that cost?",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("count")(count.count)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("import")(importing.import_model)
app.command("reduce")(reduce.reduce)
app.command("export")(export.export)
app.command("compare")(compare.compare)
app.command("power")(power.power)
app.command("runs")(runs.runs)
app.command("search")(search.search)
app.command("schema")(schema.schema)
app.command("doctor")(doctor.doctor)
app.command("variants")(lists.variants)
app.command("presets")(lists.presets)
app.command("studies")(lists.studies)
app.command("datasets")(lists.datasets)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"minform {__version__}")
        raise typer.Exit


@app.callback()
def minform(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
    ),
) -> None:
    """How many parameters can this Transformer do without, and what does that cost?"""


def main() -> NoReturn:
    """Runs the command line and ends the process.

    Exit codes: 0 done, 1 our bug, 2 bad input, 3 numerical failure, 4 the machine failed, 130 and 143 signals.
    """
    # Threads that wait should sleep, not spin: beside another busy process a spinning pair takes many times as long.
    # OpenMP reads this when torch is imported, which is later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "TORCHELASTIC_RUN_ID" in os.environ:  # a lost store is said in one line, not in pages of C++ frames
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    # Where the caller closed them (`>&-`) they are None.
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal's encoding lacks must not end a run
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _run()
    failure = _settled(sys.stdout)
    if failure is not None and not isinstance(failure, BrokenPipeError) and code == 0:
        code = _say(_system_error(failure), 4)
    _settled(sys.stderr)
    sys.exit(code)


def _run() -> int:
    """Does the command; its exit code, once what went wrong is said."""
    try:
        with _terminated():
            return _command()
    except MinformError as error:
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say("interrupted", _SIGINT)
    except MemoryError:
        return _say("out of memory; a smaller train.batch_size or model needs less", 4)
    except BrokenPipeError:  # the reader has seen enough: `minform count | head`
        return 0
    except OSError as error:
        return _say(_system_error(error), 4)
    except Exception as error:
        return _other(error)


@contextlib.contextmanager
def _terminated() -> Generator[None]:
    """Within, SIGTERM ends a command as Ctrl-C does, in every phase: what it was writing is tidied away."""
    ours = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (Python's signature)
    raise Interrupted(signum, "SIGTERM: stopped")


def _command() -> int:
    try:
        code = app(prog_name="minform", standalone_mode=False) or 0
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # which Typer turns into exit code 1
            raise error.__context__ from None
        raise
    if code == _SIGINT:  # Typer made an exit code of Ctrl-C
        raise KeyboardInterrupt
    return code


def _other(error: Exception) -> int:
    """Exit code of what is neither ours nor the system's: the option parser's refusals, a full device, or a bug."""
    refused = usage_error(error)
    if refused is not None:
        return _say(str(refused), refused.exit_code)
    if hasattr(error, "format_message"):  # no arguments at all: the help was shown
        return 2
    if type(error).__name__ == "Abort":
        return _say("interrupted", _SIGINT)
    if type(error).__name__ == "OutOfMemoryError":
        return _say("the device is out of memory; a smaller train.batch_size or model needs less", 4)
    traceback.print_exc()
    return _say("this is a bug of minform, not of your input; please report the lines above", 1)


def _say(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # stderr may be full too; the code still tells
        print(f"minform: {one_line(message)}", file=sys.stderr, flush=True)
    return code


def _settled(stream: TextIO) -> OSError | None:
    """Writes what is still buffered, or drops it, so that it does not fail again at the exit; why it failed."""
    try:
        stream.flush()
    except OSError as error:  # full, or the reader is gone
        with _nowhere() as sink:
            os.dup2(sink.fileno(), stream.fileno())
        return error
    return None


def _system_error(error: OSError) -> str:
    return f"{error.filename or 'input/output'}: {error.strerror or error}"


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w")
