"""The diagnosis as a table: text to paste."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from minform_cli.diagnosis.records import FindingRecord
from minform_cli.errors import counted
from minform_cli.report.fit import Column, printable
from minform_cli.report.formats import Output, render


def doctor_table(records: Sequence[FindingRecord], fmt: str, width: int | None = None) -> Output:
    """One line a finding, in one of the formats of `formats.FORMATS`; `width` as of `formats.render`."""
    return render(records, _COLUMNS, fmt, width)


def doctor_caption(records: Sequence[FindingRecord]) -> list[str]:
    """Whether the machine can work, and what is wrong."""
    wrong = [record for record in records if record["state"] in ("problem", "fatal")]
    lines = [f"{record['section']}, {record['name']}: {record['value']}" for record in wrong]
    if any(record["state"] == "fatal" for record in wrong):
        return [*lines, "This machine cannot work as it is."]
    return [*lines, f"{counted(len(wrong), 'problem')}; this machine can work." if wrong else "No problem was found."]


_NARROW = 36
"""Characters of a line of what was found, where room is short."""


def _wrapped(record: FindingRecord) -> str:
    return textwrap.fill(printable(record["value"]), _NARROW)


_COLUMNS = [
    Column("", lambda record: record["section"], right=False),
    Column("what", lambda record: record["name"], right=False, name=True),
    Column("found", lambda record: record["value"], right=False, narrow=_wrapped),
    Column("", lambda record: "" if record["state"] == "ok" else record["state"], right=False),
]
