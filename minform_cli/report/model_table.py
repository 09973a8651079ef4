"""The table of ``count --model``: another library's model by group, and what each reduction would leave of it."""

from __future__ import annotations

from typing import Any

from minform_cli.errors import counted
from minform_cli.foreign.records import ModelRecord, ReductionRecord
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render, to_csv, to_json
from minform_cli.report.notes import removable_line
from minform_cli.report.numbers import ABSENT, integer, percent

_HEADERS = {
    "embedding": ("embedding", "emb"),
    "query_key": ("query-key", "QK"),
    "value_output": ("value-output", "VO"),
    "mlp": ("MLP", None),
    "norm": ("norm", None),
    "head": ("head", None),
    "other": ("other", None),
}


def model_table(record: ModelRecord, fmt: str = "rich", width: int | None = None) -> Output:
    """The model and its reductions, a line each, in one of the formats of `formats.FORMATS`.

    Args:
        record: of the model. `json` writes it whole, `csv` a line for each reduction.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    if fmt == "json":
        return to_json([record])
    if fmt == "csv":
        return to_csv([_flat(record, row) for row in record["reductions"]], leave_out=["not_applied"])
    return render(record["reductions"], _COLUMNS, fmt, width)


def model_caption(record: ModelRecord) -> list[str]:
    """The lines that make the table readable on its own; they go beside the table, not into it."""
    return [
        f"Model {record['source']} ({record['model']}), recognised by its structure: "
        f"{counted(record['attention_blocks'], 'attention block')} and {counted(record['mlp_blocks'], 'MLP block')}; "
        "the columns A and M say how many of them a reduction changes.",
        "Parameters: unique numbers, frozen ones included, buffers not; share and saving: of the whole model; a "
        "negative saving is a cost.",
        "Biases of projections that go, go with them; a collapsed matrix keeps the vector into which live biases "
        "merge. An MLP takes the norm that stands for it alone along. Cross-attention counts as self-attention; "
        "minimal is no-mlp+collapsed-qk+no-vo with one head.",
        *_removable(record),
        *record["notes"],
        *_refusals(record),
    ]


def _removable(record: ModelRecord) -> list[str]:
    """What can go exactly; nothing where nothing is known."""
    found = record["removable"]
    return [f"{removable_line(found, record['parameters'])}."] if found["numbers"] else []


def _refusals(record: ModelRecord) -> list[str]:
    """Why reductions do not apply, a line for each reason."""
    by_reason: dict[tuple[str, int], list[str]] = {}
    for row in record["reductions"]:
        for reason, blocks in row["not_applied"].items():
            by_reason.setdefault((reason, blocks), []).append(row["variant"])
    lines: list[str] = []
    for (reason, blocks), variants in by_reason.items():
        where = f" ({integer(blocks)} of {integer(record['attention_blocks'])} attention blocks)" if blocks else ""
        lines.append(f"not applied: {', '.join(variants)}: {reason}{where}")
    return lines


def _flat(record: ModelRecord, row: ReductionRecord) -> dict[str, Any]:
    groups = row["groups"] or dict.fromkeys(record["groups"])
    return {"source": record["source"], **row, "groups": groups}


def _group(row: ReductionRecord, group: str) -> str:
    return ABSENT if row["groups"] is None else integer(row["groups"][group])


def _group_column(group: str, header: str, short: str | None) -> Column:
    return Column(header, lambda row: _group(row, group), short=short, block=1)


def _number(value: int | None) -> str:
    return ABSENT if value is None else integer(value)


def _saving(row: ReductionRecord) -> str:
    share = row["share_of_baseline"]
    return ABSENT if share is None or row["variant"] == "baseline" else percent(1 - share)


def _blocks(row: ReductionRecord, key: str) -> str:
    count = row[key]  # type: ignore[literal-required]
    return integer(count) if count else ABSENT


_COLUMNS = [
    Column("variant", lambda row: row["variant"], right=False, name=True),
    *(_group_column(group, header, short) for group, (header, short) in _HEADERS.items()),
    Column("parameters", lambda row: _number(row["parameters"]), short="total"),
    Column("share %", lambda row: percent(row["share_of_baseline"])),
    Column("saved", lambda row: _number(row["saved"])),
    Column("saving %", _saving, short="save %"),
    Column("A", lambda row: _blocks(row, "attention_blocks")),
    Column("M", lambda row: _blocks(row, "mlp_blocks")),
]
