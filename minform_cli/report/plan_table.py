"""What ``compare --dry-run`` shows: the runs of a study, how large they are, and which are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.grid import with_grid
from minform_cli.report.numbers import integer
from minform_cli.results import PlanRecord


def plan_table(records: Sequence[PlanRecord], fmt: str) -> Output:
    """One line a run, in one of the formats of `formats.FORMATS`."""
    return render(records, with_grid(_COLUMNS, records), fmt)


def plan_caption(records: Sequence[PlanRecord]) -> list[str]:
    """How many runs there are, and in which state."""
    states = Counter(record["state"] for record in records)
    known = ", ".join(f"{integer(states[state])} {state}" for state in ("finished", "begun", "to do") if states[state])
    return [f"{integer(len(records))} run{'' if len(records) == 1 else 's'}: {known}. Nothing was written."]


_COLUMNS = [
    Column("variant", lambda record: record["variant"], right=False, name=True),
    Column("seed", lambda record: str(record["seed"])),
    Column("parameters", lambda record: integer(record["parameters"]), short="params"),
    Column("state", lambda record: record["state"], right=False),
]
