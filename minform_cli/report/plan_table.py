"""What ``compare --dry-run`` shows: the runs of a study, how large they are, and which are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from minform_cli.errors import counted
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.grid import with_grid
from minform_cli.report.numbers import ABSENT, duration, integer
from minform_cli.report.records import PlanRecord


def plan_table(records: Sequence[PlanRecord], fmt: str) -> Output:
    """One line a run, in one of the formats of `formats.FORMATS`."""
    return render(records, with_grid(_COLUMNS, records), fmt)


def plan_caption(records: Sequence[PlanRecord], jobs: int) -> list[str]:
    """How many runs there are, in which state, and how long they will take with `jobs` of them side by side."""
    states = Counter(record["state"] for record in records)
    known = ", ".join(f"{integer(states[state])} {state}" for state in ("finished", "begun", "to do") if states[state])
    lines = [f"{counted(len(records), 'run')}: {known}. Nothing was written."]
    seconds = sum(record["seconds"] for record in records)
    if seconds:
        apart = f", about {duration(seconds / jobs)} with {jobs} side by side" if jobs > 1 else ""
        lines.append(
            f"time left: {duration(seconds)} one after another{apart}: from a few steps of each model, alone on "
            "the machine; loading data comes on top, and runs side by side slow each other."
        )
    return lines


_COLUMNS = [
    Column("variant", lambda record: record["variant"], right=False, name=True),
    Column("seed", lambda record: str(record["seed"])),
    Column("parameters", lambda record: integer(record["parameters"]), short="params"),
    Column("state", lambda record: record["state"], right=False),
    Column("time left", lambda record: duration(record["seconds"]) if record["seconds"] else ABSENT),
]
