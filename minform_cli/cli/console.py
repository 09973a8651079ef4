"""Where output goes: results to stdout, everything else to stderr; what a name may do to a terminal: nothing.

rich and tabulate are imported when something is printed, so that help and refused input do not wait for them.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from minform_cli.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_LONGEST = 2000


def chosen_format(fmt: str | None, where: str = "--format", *, as_json: bool = False) -> str:
    """`fmt`, given by the option `where`, once it is known; or the default: `rich` on a terminal, `plain` in a pipe.

    Args:
        fmt: None where the option was not given.
        where: the option.
        as_json: whether ``--json`` was given, which means the format `json`.

    Raises:
        InputError: `fmt` is none of the formats, or another one than ``--json`` says.
    """
    if as_json:
        if fmt not in (None, "json"):
            raise InputError(f"--json: is {where} json, and {where} says {fmt!r}; accepted: one of them")
        return "json"
    if fmt is None:
        return "rich" if sys.stdout.isatty() else "plain"
    from minform_cli.report.formats import check_format

    check_format(fmt, where)
    return fmt


def show(output: RenderableType) -> None:
    """Prints a result to stdout: text as it is, a table for the terminal's width."""
    if isinstance(output, str):
        print(output)
    else:
        console().print(output)


def caption(lines: Iterable[str], fmt: str) -> None:
    """Prints what belongs beside a result to stderr; programs' formats need none."""
    if fmt in ("csv", "json"):
        return
    if not sys.stderr.isatty():
        print("", *map(one_line, lines), sep="\n", file=sys.stderr)
        return
    errors = console(stderr=True)
    errors.print()
    for line in lines:
        errors.print(one_line(line), style="dim", markup=False)


def warn(text: str) -> None:
    """Prints one line to stderr of what went wrong beside the result, however quiet the command is."""
    with contextlib.suppress(OSError):
        print(f"minform: {one_line(text)}", file=sys.stderr, flush=True)


def console(*, stderr: bool = False) -> Console:
    """A rich console; with NO_COLOR set it writes no style at all, bold and dim included."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")


def one_line(text: str) -> str:
    """`text` with every control character spelled out, so that no file name can move the cursor or colour a line.

    Of a very long text the middle is left out.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} [...] {text[-_LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
