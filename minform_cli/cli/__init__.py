"""The command line: thin commands over the Python API, and the one place where errors become messages.

Nothing here imports torch until a command body needs it, so help and refused input do not wait for it.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

import typer

from minform_cli import __version__
from minform_cli.cli import compare, count, evaluate, lists, train
from minform_cli.cli.console import one_line
from minform_cli.errors import MinformError

app = typer.Typer(
    name="minform",
    help="How many parameters can this Transformer do without, and what does that cost?",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("count")(count.count)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("variants")(lists.variants)
app.command("presets")(lists.presets)
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
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough: `minform count | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except MinformError as error:
        code = _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _say("interrupted", 130)
    except MemoryError:
        code = _say("out of memory; a smaller train.batch_size or model needs less", 4)
    except OSError as error:
        code = _say(f"{error.filename or 'input/output'}: {error.strerror or error}", 4)
    except Exception as error:
        code = _other(error)
    sys.exit(code)


def _other(error: Exception) -> int:
    """Exit code of what is neither ours nor the system's: the option parser's refusals, a full device, or a bug."""
    explain = getattr(error, "format_message", None)
    if explain is not None:  # Typer's usage errors
        message = explain()
        return _say(f"{message[:1].lower()}{message[1:].rstrip('.')} (see minform --help)", 2) if message else 2
    if type(error).__name__ == "Abort":
        return _say("interrupted", 130)
    if type(error).__name__ == "OutOfMemoryError":
        return _say("the device is out of memory; a smaller train.batch_size or model needs less", 4)
    traceback.print_exc()
    return _say("this is a bug of minform, not of your input; please report the lines above", 1)


def _say(message: str, code: int) -> int:
    print(f"minform: {one_line(message)}", file=sys.stderr)
    return code
