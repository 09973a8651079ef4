"""The table of ``minform runs``: what lies in a folder, one line a run or study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from minform_cli.errors import counted
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.numbers import ABSENT, epochs, integer, metric_name, percent, scaled, with_sign
from minform_cli.runs.records import ListedRecord

STATES = ("finished", "trial", "running", "interrupted", "damaged", "removed")

_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def runs_table(records: Sequence[ListedRecord], fmt: str = "rich", width: int | None = None) -> Output:
    """One line a run or study, in one of the formats of `formats.FORMATS`.

    Args:
        records: in the order of the lines.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    return render(records, _COLUMNS, fmt, width)


def runs_caption(records: Sequence[ListedRecord], notes: Sequence[str] = ()) -> list[str]:
    """How many there are in which state, what is wrong with the damaged ones, and `notes`."""
    lines: list[str] = []
    for kind, many in (("run", "runs"), ("study", "studies")):
        states = Counter(record["state"] for record in records if record["kind"] == kind)
        known = ", ".join(f"{integer(states[state])} {state}" for state in STATES if states[state])
        if known:
            lines.append(f"{counted(sum(states.values()), kind, many)}: {known}")
    if not records:
        lines.append("No run lies here.")
    return [*lines, *(record["problem"] for record in records if record["problem"]), *notes]


def _state(record: ListedRecord) -> str:
    if record["runs"] is None:
        return record["state"]
    return f"{record['state']}, {integer(record['runs_finished'] or 0)} of {counted(record['runs'], 'run')}"


def _score(record: ListedRecord) -> str:
    metric, score = record["metric"], record["score"]
    return ABSENT if metric is None or score is None else f"{metric_name(metric)} {with_sign(metric, percent(score))}"


def _epochs(record: ListedRecord) -> str:
    done, planned = record["epochs"], record["epochs_planned"]
    if done is None:
        return ABSENT
    return epochs(done) if planned in (None, done) else f"{epochs(done)} of {epochs(planned)}"


def _age(record: ListedRecord) -> str:
    """The largest unit alone: ``3 d``."""
    size, unit = next(((size, unit) for size, unit in _SPANS if record["age_s"] >= size), (1, "s"))
    return f"{integer(int(record['age_s'] // size))} {unit}"


_COLUMNS = [
    Column("folder", lambda record: record["folder"], right=False, name=True),
    Column("state", _state, right=False),
    Column("preset", lambda record: record["preset"] or ABSENT, right=False, block=1),
    Column("variant", lambda record: record["variant"] or ABSENT, right=False, block=1),
    Column("seed", lambda record: ABSENT if record["seed"] is None else str(record["seed"]), block=1),
    Column("validation", _score, short="val"),
    Column("epochs", _epochs),
    Column("age", _age, block=1),
    Column("size", lambda record: scaled(record["size_bytes"], "B"), block=1),
]
