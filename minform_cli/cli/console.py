"""Where output goes: results to stdout, everything else to stderr; what a name may do to a terminal: nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, RenderableType

from minform_cli.report.formats import FORMATS, check_format


def chosen_format(fmt: str | None) -> str:
    """`fmt` once it is known, or the default: `rich` on a terminal, `plain` in a pipe.

    Raises:
        InputError: `fmt` is none of the formats.
    """
    if fmt is None:
        return "rich" if sys.stdout.isatty() else "plain"
    check_format(fmt)
    return fmt


def show(output: RenderableType) -> None:
    """Prints a result to stdout: text as it is, a table for the terminal's width."""
    if isinstance(output, str):
        print(output)
    else:
        Console(highlight=False).print(output)


def caption(lines: Iterable[str], fmt: str) -> None:
    """Prints what belongs beside a result to stderr; programs' formats need none."""
    if fmt in ("csv", "json"):
        return
    console = Console(stderr=True, highlight=False)
    console.print()
    for line in lines:
        console.print(one_line(line), style="dim", markup=False, soft_wrap=not console.is_terminal)


def one_line(text: str) -> str:
    """`text` with every control character spelled out, so that no file name can move the cursor or colour a line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


__all__ = ["FORMATS", "caption", "chosen_format", "one_line", "show"]
