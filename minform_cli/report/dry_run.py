"""What ``train --dry-run`` shows: every setting with where it came from, and what one step of the run was like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minform_cli.config.schema import RunConfig
from minform_cli.errors import counted
from minform_cli.report import notes
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.numbers import duration, integer, loss


def dry_run_table(config: RunConfig, origins: Mapping[str, str], found: Mapping[str, Any], fmt: str) -> Output:
    """One line a setting: key, value, origin; `json` and `csv` hold the same records, `json` with the findings too.

    Args:
        config: the resolved config.
        origins: dotted key -> where its value came from.
        found: what `training.run.dry_run` returned.
        fmt: one of `formats.FORMATS`.
    """
    values = config.model_dump(mode="json")
    rows = [
        {"key": key, "value": values[key.partition(".")[0]].get(key.partition(".")[2]), "origin": origin}
        for key, origin in origins.items()
        if key.partition(".")[0] in values
    ]
    if fmt == "json":
        return render([{"settings": rows, **found}], [], fmt)
    return render(rows, _COLUMNS, fmt)


def dry_run_caption(found: Mapping[str, Any]) -> list[str]:
    """What was counted, read and computed."""
    count, data, steps = found["count"], found["data"], found["steps"]
    return [
        f"{integer(count['parameters'])} parameters, {integer(count['macs'])} MACs forward per example.",
        f"{data['title']}: {integer(data['num_train'])} training, {integer(data['num_val'])} validation, "
        f"{counted(data['num_test'], 'test example')}; read and checked.",
        f"First step: loss {loss(found['loss'])}, {found['seconds'] * 1e3:.1f} ms; {counted(steps, 'step')} in all, "
        f"about {duration(found['seconds'] * steps)} at that pace (the first step is the slowest).",
        *notes.record_notes([count]),
        *(f"Note: {note}." for note in found["notes"]),
        "Nothing was written.",
    ]


def _value(row: Mapping[str, Any]) -> str:
    value = row["value"]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return "none set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


_COLUMNS = [
    Column("setting", lambda row: row["key"], right=False, name=True),
    Column("value", _value, right=False, name=True),
    Column("from", lambda row: row["origin"], right=False, name=True),
]
